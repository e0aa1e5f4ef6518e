import { formatCidr } from '../model/address.ts';
import { nextCandidate } from '../model/block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';
import { pickRequested } from './requested-address.ts';

/**
 * Chooses an address: the wished one, else one of the blocks that the node holds, else the first of a new block.
 * @returns undefined where others were faster: everything is to be read anew
 * @throws IpamError `exhausted`, `not-found`, `conflict`, `taken`
 */
export async function pick(context: PickContext): Promise<Assignment | undefined> {
  const wished = context.request.requested?.find((address) => address.family === context.family);
  if (wished) return await pickRequested(context, wished);
  return pickFromHeldBlocks(context) ?? (await pickFromNewBlock(context));
}

/** The address whose turn it is among all blocks that the node holds. */
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

/** Claims a block and gives out its first address in the same transaction; undefined: others filled the range meanwhile. */
async function pickFromNewBlock(context: PickContext): Promise<Assignment | undefined> {
  const claim = await claimBlock(context);
  if (!claim) return undefined;
  const candidate = nextCandidate(claim.block, context.ipam.effects.now(), claim.range.cooldownMs);
  if (!candidate) throw new Error(`block ${formatCidr(claim.block.cidr)} was chosen, but has no address`);
  return assign(context, claim, candidate.index, claim.rangeEntry);
}
