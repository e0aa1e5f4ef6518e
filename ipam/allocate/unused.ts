import { nextCandidate, slotAddress, type Candidate } from '../model/block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { PickContext } from './pick-context.ts';

/**
 * Returns the next address in turn. An address that another pod of the node uses is not free,
 * whatever etcd says (rule 10).
 */
export async function firstUnused(
  { ipam, request }: PickContext,
  blocks: readonly HeldBlock[],
): Promise<{ readonly held: HeldBlock; readonly index: number } | undefined> {
  const now = ipam.effects.now();
  const used = new Map<HeldBlock, Set<number>>();
  for (;;) {
    let next: (Candidate & { readonly held: HeldBlock }) | undefined;
    for (const held of blocks) {
      const first = nextCandidate(held.block, now, held.range.cooldownMs, used.get(held));
      if (first && (!next || first.turn < next.turn)) next = { ...first, held };
    }
    if (!next) return undefined;
    const { held, index } = next;
    if (!(await ipam.local.isUsedByOther(slotAddress(held.block, index), request.owner))) return next;
    used.set(held, (used.get(held) ?? new Set()).add(index));
  }
}
