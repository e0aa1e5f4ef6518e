import type { Address } from '../model/address.ts';
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

/**
 * Picks the next address to assign among all blocks of the node. An address that another pod of the
 * node uses is not free, whatever etcd says (rule 10).
 */
function pickFromHeldBlocks(context: PickContext): Assignment | undefined {
  const now = context.ipam.effects.now();
  let best: { held: HeldBlock; index: number; turn: number } | undefined;
  for (const held of context.blocks) {
    if (!isEligible(held.range, context)) continue;
    const candidate = nextCandidate(held.block, now, held.range.cooldownMs, barredFor(context));
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
  const now = context.ipam.effects.now();
  const candidate = nextCandidate(claim.block, now, claim.range.cooldownMs, barredFor(context));
  // Pods of this node use all of its addresses: the next attempt claims another block.
  if (!candidate) return undefined;
  return assign(context, claim, candidate.index, claim.rangeEntry);
}

const barredFor =
  ({ ipam, request }: PickContext) =>
  (address: Address): boolean =>
    ipam.local.isCarriedByOther(address, request.owner);
