import { countSlots } from '../../ipam/model/block.ts';
import type { HeldBlock } from '../../ipam/node/node-blocks.ts';

/** What a node has of one range, in its own blocks. */
export interface RangeUse {
  readonly range: string;
  readonly blocks: number;
  readonly used: number;
  readonly cooling: number;
  readonly free: number;
}

/** Blocks added up by range, in the order of their names. @param now milliseconds since 1970: what has rested by then is free */
export function useByRange(blocks: Iterable<HeldBlock>, now: number): RangeUse[] {
  const uses = new Map<string, RangeUse>();
  for (const { block, range } of blocks) {
    const before = uses.get(range.name) ?? { range: range.name, blocks: 0, used: 0, cooling: 0, free: 0 };
    const { used, cooling, free } = countSlots(block, now, range.cooldownMs);
    uses.set(range.name, {
      range: range.name,
      blocks: before.blocks + 1,
      used: before.used + used,
      cooling: before.cooling + cooling,
      free: before.free + free,
    });
  }
  return [...uses.values()].sort((a, b) => (a.range < b.range ? -1 : 1));
}
