import type { Address } from '../../ipam/model/address.ts';
import { isExpected, type Expected } from '../../ipam/model/block.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { readAddress } from '../../ipam/query/views.ts';
import type { World } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import type { CondemnedLeak } from './end-leaks.ts';
import { clearingText, type FreeOutcome } from './free.ts';
import { sideBySide } from './side-by-side.ts';

/** A condemned allocation, and who clears it away. */
export interface Sentenced {
  readonly address: Address;
  readonly expected: Expected;
  readonly outcome: CondemnedLeak;
}

/** Returns a line for each node on which something was condemned. */
export function condemnedTexts(sentenced: readonly Sentenced[]): string[] {
  const counts = new Map<string, number>();
  for (const { outcome } of sentenced) {
    const text = clearingText(outcome);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => `${plural(count, 'address', 'addresses')} condemned: ${text}`);
}

/** Returns a line for each node that has not cleared away in time what was condemned there. */
export function overdueTexts(left: readonly Sentenced[]): string[] {
  const counts = new Map<string, number>();
  for (const { outcome } of left) counts.set(outcome.node, (counts.get(outcome.node) ?? 0) + 1);
  return [...counts].map(
    ([node, count]) =>
      `${node} has not cleared away ${plural(count, 'address', 'addresses')} yet: cnictl node reconcile --dry-run there tells why`,
  );
}

/** Time between two looks, in milliseconds. */
const LOOK_EVERY_MS = 1_000;
const READS_AT_ONCE = 8;

/**
 * Waits until living agents have cleared away what was condemned on their nodes. An agent looks
 * once a minute, unless it is configured otherwise.
 * @param waitMs longest wait, in milliseconds
 * @param onCleared receives each that is no longer allocated as it was condemned
 * @returns those that still are, of nodes whose agents live
 */
export async function awaitCleared<T extends Sentenced>(
  ipam: Ipam,
  sentenced: readonly T[],
  { monotonic, pause }: Pick<World, 'monotonic' | 'pause'>,
  waitMs: number,
  onCleared: (cleared: T, outcome: FreeOutcome) => void,
  signal?: AbortSignal,
): Promise<readonly T[]> {
  const until = monotonic() + waitMs;
  let left = sentenced.filter(({ outcome }) => outcome.life === 'agent');
  while (left.length > 0 && monotonic() < until && signal?.aborted !== true) {
    await pause(Math.min(LOOK_EVERY_MS, until - monotonic()), signal);
    const isLeft = await sideBySide(left, READS_AT_ONCE, (each) => isStillHeld(ipam, each));
    for (const [i, each] of left.entries())
      if (isLeft[i] === false) onCleared(each, { kind: 'cleared', node: each.outcome.node });
    left = left.filter((_, i) => isLeft[i] !== false);
  }
  return left;
}

/** What cannot be read, or not now, may still be held. */
async function isStillHeld(ipam: Ipam, { address, expected }: Sentenced): Promise<boolean> {
  const read = await readAddress(ipam, address).catch((error: unknown) => {
    if (error instanceof IpamError) return undefined;
    throw error;
  });
  if (!read || 'unreadable' in read) return true;
  const { slot } = read.value;
  return slot !== undefined && isExpected(slot, expected);
}
