import type { Cidr, Family } from '../model/address.ts';
import { isCooling, nextCandidate, type Block } from '../model/block.ts';
import type { HeldBlock } from './node-blocks.ts';

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
export interface BlockUse {
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

export function blockUseOf(held: HeldBlock, now: number, nodeDrains = false): BlockUse {
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
export function surplusOf<T extends BlockUse>(blocks: readonly T[]): T[] {
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
