import { formatCidr, type Cidr, type Family } from './address.ts';
import type { Ipam } from './allocator.ts';
import { isCooling, nextCandidate, type Block } from './block.ts';
import type { HeldBlock } from './holdings.ts';
import { returnBlock } from './holdings.ts';
import type { Range } from './range.ts';
import { blockKey, decodeBlock } from './records.ts';

/** Nothing of it is given out, and nothing rests: giving it back touches nobody. */
export function isIdle({ block, range }: HeldBlock, now: number): boolean {
  return block.slots.every((slot) => slot.state !== 'used' && !isCooling(slot, now, range.cooldownMs));
}

/** Time of the last change, in milliseconds since 1970. */
export function lastChange(block: Block): number {
  return block.slots.reduce(
    (latest, slot) => (slot.state === 'released' ? Math.max(latest, slot.releasedAt) : latest),
    block.claimedAt,
  );
}

/** What the choice of blocks to give back rests on: small, for a whole cluster's are held at once. */
export interface Stance {
  readonly node: string;
  readonly range: string;
  readonly cidr: Cidr;
  readonly family: Family;
  readonly sequence: number;
  readonly idle: boolean;
  /** Has an address that can be given out now. */
  readonly hasRoom: boolean;
  /** Its range or its node gives out nothing new. */
  readonly draining: boolean;
  readonly lastChange: number;
}

export function stanceOf(held: HeldBlock, now: number, nodeDrains = false): Stance {
  const { block, range } = held;
  return {
    node: block.node,
    range: block.range,
    cidr: block.cidr,
    family: block.cidr.base.family,
    sequence: block.sequence,
    idle: isIdle(held, now),
    hasRoom: nextCandidate(block, now, range.cooldownMs) !== undefined,
    draining: nodeDrains || range.state === 'draining',
    lastChange: lastChange(block),
  };
}

/**
 * The blocks that one node can do without: idle ones, of which it keeps one for each family, unless another that is in use has room.
 * Of a range or a node that is draining none is kept: nothing would be given out of it.
 */
export function surplusOf<T extends Stance>(blocks: readonly T[]): T[] {
  const served = new Set(
    blocks.filter((each) => !each.idle && !each.draining && each.hasRoom).map(({ family }) => family),
  );
  return blocks
    .filter(({ idle }) => idle)
    .filter(({ draining, family }) => {
      if (draining || served.has(family)) return true;
      served.add(family);
      return false;
    });
}

/** `changed`: it was used, claimed by another or given back since it was looked at. */
export type ReturnOutcome = 'returned' | 'changed';

/**
 * Gives one block back, if it is still the one that was looked at, and idle still.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function giveBlockBack(
  { store, around }: Ipam,
  range: Range,
  { cidr, node, sequence }: Pick<Stance, 'cidr' | 'node' | 'sequence'>,
): Promise<ReturnOutcome> {
  const key = blockKey(range.name, cidr);
  const [entry] = await store.get([key]);
  if (!entry) return 'changed';
  const block = decodeBlock(key, entry.value);
  const isSame =
    block.node === node && block.sequence === sequence && formatCidr(block.cidr) === formatCidr(cidr);
  if (!isSame || !isIdle({ block, range }, around.now())) return 'changed';
  const { guards, writes } = returnBlock(block, entry);
  return (await store.commit(guards, writes)) === undefined ? 'changed' : 'returned';
}
