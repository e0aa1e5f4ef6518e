import type { Violation } from './invariants.ts';
import type { Trace, TraceLine } from './trace.ts';

const WIDTH = 150;

/**
 * Returns the story of a violation, one line for each event: those about the addresses, pods and
 * containers concerned, and everything that matters to every story.
 */
export function storyOf({ lines }: Trace, violation: Violation): string[] {
  const subjects = subjectsOf(lines, violation);
  const told = lines.filter(({ always, about }) => always || about.some((each) => subjects.has(each)));
  const places = Math.max(...told.map(({ where }) => Math.min(where.length, 24)));
  return [...told.map((line) => textOf(line, places)), `${violation.kind}: ${violation.text}`];
}

/** Returns what the violation is about, and the containers and pods that had its addresses. */
function subjectsOf(lines: readonly TraceLine[], { about }: Violation): ReadonlySet<string> {
  const addresses = about.filter(isAddress);
  const owners = lines
    .filter((line) => line.about.some((each) => addresses.includes(each)))
    .flatMap((line) => line.about.filter((each) => !isAddress(each) && !each.includes('/')));
  const named = [...about, ...owners];
  return new Set([...named, ...named.map((each) => each.split('.')[0] ?? '').filter(Boolean)]);
}

const isAddress = (text: string): boolean => /^(\d+\.\d+\.\d+\.\d+|[0-9a-f:]*:[0-9a-f:]*)$/.test(text);

function textOf({ time, where, text }: TraceLine, places: number): string {
  const seconds = (time / 1000).toFixed(3).padStart(9);
  return `${seconds}  ${where.padEnd(places)}  ${text.replaceAll('\n', ' ')}`.slice(0, WIDTH);
}
