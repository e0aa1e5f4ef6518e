import { nextCandidate, slotAddress, type Candidate } from '../model/block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';
import { pickRequested } from './requested-address.ts';

/**
 * Picks an address: the requested one, else one of the node's blocks, else one of a new block.
 * @returns undefined if other writers were faster and everything must be read again
 * @throws IpamError `exhausted`, `not-found`, `conflict`, `taken`
 */
export async function pick(context: PickContext): Promise<Assignment | undefined> {
  const requested = context.request.requested?.find((address) => address.family === context.family);
  if (requested) return await pickRequested(context, requested);
  return (await pickFromHeldBlocks(context)) ?? (await pickFromNewBlock(context));
}

/** Picks the next address to assign among all blocks of the node. */
async function pickFromHeldBlocks(context: PickContext): Promise<Assignment | undefined> {
  const held = context.blocks.filter(({ range }) => isEligible(range, context));
  const found = await firstUnused(context, held);
  return found && assign(context, found.held, found.index);
}

/**
 * Claims a block and assigns its first address in the same transaction. Returns undefined if other
 * writers filled the range meanwhile, or if pods of this node use all of its addresses.
 */
async function pickFromNewBlock(context: PickContext): Promise<Assignment | undefined> {
  const claim = await claimBlock(context);
  const found = claim && (await firstUnused(context, [claim]));
  return found && assign(context, claim, found.index, claim.rangeEntry);
}

/**
 * Returns the next address in turn. An address that another pod of the node uses is not free,
 * whatever etcd says (rule 10).
 */
async function firstUnused(
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
