/**
 * Explores a small model of cellnet completely (docs/simulator.md).
 *
 *     npm run model                            every exploration, with all rules
 *     npm run model -- --without each          rules left out in turn, and what breaks without them
 *     npm run model -- --without fence,probe --within set-back
 *
 * The exit status is 1 when a rule is broken; with `--without each`, when nothing is.
 */
import { parseArgs } from 'node:util';
import { EXPLORATIONS, LEFT_OUT, type ExplorationName } from './bounds.ts';
import { explore } from './explore.ts';
import { ASSUMPTION, RULES, type Rule } from './rules.ts';

const { values } = parseArgs({ options: { without: { type: 'string' }, within: { type: 'string' } } });
const ALL: readonly Rule[] = [...RULES, ASSUMPTION];
const NAMES = Object.keys(EXPLORATIONS) as ExplorationName[];

function known<T extends string>(option: string, name: string, names: readonly T[]): T {
  const found = names.find((each) => each === name);
  if (found !== undefined) return found;
  throw new Error(`--${option}: '${name}' is not known: expected one of ${names.join(', ')}`);
}

/** Explores, and tells the shortest way to a violation. Returns whether every rule holds. */
function run(name: ExplorationName, without: readonly Rule[]): boolean {
  const began = performance.now();
  const { states, transitions, depth, violation } = explore({ ...EXPLORATIONS[name], without });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const what = without.length > 0 ? `${name} without ${without.join(' and ')}` : name;
  const outcome = violation?.what ?? 'every rule holds';
  console.log(
    `${what}: ${states} states, ${transitions} transitions, depth ${depth}, ${seconds} s: ${outcome}`,
  );
  for (const [i, step] of (violation?.trace ?? []).entries())
    console.log(`  ${String(i + 1).padStart(2)}  ${step}`);
  return !violation;
}

function main(): number {
  const names = values.within === undefined ? NAMES : [known('within', values.within, NAMES)];
  if (values.without === 'each')
    return LEFT_OUT.map(({ within, without }) => run(within, without)).includes(true) ? 1 : 0;
  const without = (values.without?.split(',') ?? []).map((name) => known('without', name, ALL));
  return names.map((name) => run(name, without)).includes(false) ? 1 : 0;
}

process.exitCode = main();
