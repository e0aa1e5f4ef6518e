import type { Cidr, Family } from '../model/address.ts';
import { isCooling, isKept, nextCandidate, type Block } from '../model/block.ts';
import type { HeldBlock } from './node-blocks.ts';

/** Returns whether no slot is used, kept or cooling: returning such a block affects nobody. */
export function isIdle({ block, range }: HeldBlock, now: number): boolean {
  return block.slots.every(
    (slot) => slot.state !== 'used' && !isKept(slot, now) && !isCooling(slot, now, range.cooldownMs),
  );
}

/** Returns the time of the last release or, if later, of the claim, in milliseconds since 1970. */
export function lastChange(block: Block): number {
  return block.slots.reduce((latest, slot) => {
    if (slot.state === 'released') return Math.max(latest, slot.releasedAt);
    return slot.state === 'kept' ? Math.max(latest, slot.keptAt) : latest;
  }, block.claimedAt);
}

/**
 * What the choice of blocks to return depends on. It is small, because a caller holds those of the
 * whole cluster at once.
 */
export interface BlockUse {
  readonly node: string;
  readonly range: string;
  readonly cidr: Cidr;
  readonly family: Family;
  readonly sequence: number;
  readonly idle: boolean;
  /** The block has an address that can be assigned now. */
  readonly hasRoom: boolean;
  /** The range or the node makes no new allocations. */
  readonly draining: boolean;
  /** Only some pods may use the block. */
  readonly namedOnly: boolean;
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
    namedOnly: range.namedOnly ?? false,
    lastChange: lastChange(block),
  };
}

/**
 * Returns the blocks that one node can do without. These are the idle ones, except one for each
 * family that has no other block in use with room. It keeps no idle block of a draining range or
 * node or one that its range reserves, because nothing would be allocated from it, and none that
 * only some pods may use: the next pod may be another.
 */
export function surplusOf<T extends BlockUse>(blocks: readonly T[]): T[] {
  const served = new Set(
    blocks
      .filter((each) => !each.idle && !each.draining && !each.namedOnly && each.hasRoom)
      .map(({ family }) => family),
  );
  return blocks
    .filter(({ idle }) => idle)
    .filter(({ draining, namedOnly, hasRoom, family }) => {
      // An idle block without room has no address for pods: its range reserves all of them.
      if (draining || namedOnly || !hasRoom || served.has(family)) return true;
      served.add(family);
      return false;
    });
}
