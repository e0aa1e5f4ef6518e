import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';
import { pickOwn } from './own-blocks.ts';
import { pickRequested } from './requested-address.ts';
import { firstUnused } from './unused.ts';

/**
 * Picks an address: the requested one, else one of the node's blocks or of the rule's own, else one
 * of a new block.
 * @returns undefined if other writers were faster and everything must be read again
 * @throws IpamError `exhausted`, `not-found`, `conflict`, `taken`
 */
export async function pick(context: PickContext): Promise<Assignment | undefined> {
  const requested = context.request.requested?.find((address) => address.family === context.family);
  if (requested) return await pickRequested(context, requested);
  const { blocksOf } = context.request;
  if (blocksOf !== undefined) return await pickOwn(context, blocksOf);
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
  return found && assign(context, claim, found.index, claim);
}
