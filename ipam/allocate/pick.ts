import { formatCidr } from '../model/address.ts';
import { nextCandidate } from '../model/block.ts';
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
  return pickFromHeldBlocks(context) ?? (await pickFromNewBlock(context));
}

/** Picks the next address to assign among all blocks of the node. */
function pickFromHeldBlocks(context: PickContext): Assignment | undefined {
  const now = context.ipam.effects.now();
  let best: { held: HeldBlock; index: number; turn: number } | undefined;
  for (const held of context.blocks) {
    if (!isEligible(held.range, context)) continue;
    const candidate = nextCandidate(held.block, now, held.range.cooldownMs);
    if (candidate && (!best || candidate.turn < best.turn)) best = { held, ...candidate };
  }
  return best && assign(context, best.held, best.index);
}

/**
 * Claims a block and assigns its first address in the same transaction. Returns undefined if other
 * writers filled the range meanwhile.
 */
async function pickFromNewBlock(context: PickContext): Promise<Assignment | undefined> {
  const claim = await claimBlock(context);
  if (!claim) return undefined;
  const candidate = nextCandidate(claim.block, context.ipam.effects.now(), claim.range.cooldownMs);
  if (!candidate) throw new Error(`block ${formatCidr(claim.block.cidr)} was chosen, but has no address`);
  return assign(context, claim, candidate.index, claim.rangeEntry);
}
