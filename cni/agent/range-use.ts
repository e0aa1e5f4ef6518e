import { countSlots } from '../../ipam/model/block-counts.ts';
import type { HeldBlock } from '../../ipam/node/node-blocks.ts';

/** A node's use of one range: the node's blocks and the addresses in them. */
export interface RangeUse {
  readonly range: string;
  readonly blocks: number;
  readonly used: number;
  readonly cooling: number;
  readonly kept: number;
  readonly free: number;
}

/**
 * Sums up blocks by range, sorted by the name of the range.
 * @param now milliseconds since 1970; an address whose cooldown has ended by then counts as free
 */
export function useByRange(blocks: Iterable<HeldBlock>, now: number): RangeUse[] {
  const uses = new Map<string, RangeUse>();
  for (const { block, range } of blocks) {
    const before = uses.get(range.name) ?? {
      range: range.name,
      blocks: 0,
      used: 0,
      cooling: 0,
      kept: 0,
      free: 0,
    };
    const { used, cooling, kept, free } = countSlots(block, now, range.cooldownMs);
    uses.set(range.name, {
      range: range.name,
      blocks: before.blocks + 1,
      used: before.used + used,
      cooling: before.cooling + cooling,
      kept: before.kept + kept,
      free: before.free + free,
    });
  }
  return [...uses.values()].sort((a, b) => (a.range < b.range ? -1 : 1));
}
