import { familyName, formatCidr, type Family } from './address.ts';
import type { Ipam } from './allocator.ts';
import { isCooling, nextCandidate, type Block } from './block.ts';
import { claimBlock, isEligible, type Demand } from './choose.ts';
import { IpamError } from './errors.ts';
import type { HeldBlock } from './holdings.ts';
import { submit } from './orders.ts';

/** With fewer addresses than this that can be given out now, the next block is claimed ahead of need. */
export const LOW_WATER = 4;

/** Whether the node will soon need another block. Cooling addresses do not count: they cannot be given out now. */
export function isLow(blocks: readonly HeldBlock[], request: Demand, family: Family, now: number): boolean {
  const available = blocks
    .filter(({ range }) => isEligible(range, { request, family, fixed: undefined }))
    .flatMap(({ block, range }) =>
      block.slots.filter(
        (slot) =>
          slot.state === 'free' || (slot.state === 'released' && !isCooling(slot, now, range.cooldownMs)),
      ),
    );
  return available.length < LOW_WATER;
}

/**
 * Claims a block for a node that has few addresses left, so that no pod has to wait for it.
 * @returns the block's subnet; undefined where the node has enough, or no range has a block left
 * @throws IpamError `contention`, `store-…`
 */
export function claimAhead(ipam: Ipam, request: Demand, family: Family): Promise<string | undefined> {
  return submit<{ claimed?: string }>(ipam, request.node, {
    change: async (draft, attempt) => {
      if (!isLow(draft.blocks, request, family, ipam.around.now())) return {};
      try {
        const quest = { ipam, request, family, blocks: draft.blocks, fixed: undefined, attempt };
        const claim = await claimBlock(quest);
        if (!claim) return undefined;
        draft.put(claim.block, claim);
        return { claimed: formatCidr(claim.block.cidr) };
      } catch (error) {
        if (error instanceof IpamError && error.code === 'exhausted') return {};
        throw error;
      }
    },
  }).then(({ claimed }) => claimed);
}

/** Nothing of it is given out, and nothing rests. */
function isIdle({ block, range }: HeldBlock, now: number): boolean {
  return block.slots.every((slot) => slot.state !== 'used' && !isCooling(slot, now, range.cooldownMs));
}

/**
 * The blocks that a node can do without: idle ones, of which it keeps one for each family. Named with their sequence, so that two
 * looks tell whether anything happened in between.
 */
export function idleBlocks(
  blocks: readonly HeldBlock[],
  now: number,
): { readonly id: string; readonly block: Block }[] {
  const kept = new Set<string>();
  return blocks
    .filter((held) => isIdle(held, now))
    .filter(({ block }) => {
      const family = familyName(block.cidr.base.family);
      const isBusyElsewhere = blocks.some(
        (other) =>
          other.block.cidr.base.family === block.cidr.base.family &&
          !isIdle(other, now) &&
          hasRoom(other, now),
      );
      if (isBusyElsewhere || kept.has(family)) return true;
      kept.add(family);
      return false;
    })
    .map(({ block }) => ({ id: `${formatCidr(block.cidr)}@${block.sequence}`, block }));
}

const hasRoom = ({ block, range }: HeldBlock, now: number): boolean =>
  nextCandidate(block, now, range.cooldownMs) !== undefined;

/**
 * Gives back the idle blocks that were idle, and the same, at an earlier look.
 * @param seen what an earlier call returned
 * @returns what is idle now and was not given back: for the next call; and what was
 * @throws IpamError `contention`, `store-…`
 */
export function returnIdle(
  ipam: Ipam,
  node: string,
  seen: ReadonlySet<string>,
): Promise<{ readonly idle: ReadonlySet<string>; readonly returned: readonly string[] }> {
  return submit(ipam, node, {
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is the order's failure
    change: async (draft) => {
      if (draft.cached) return undefined;
      const found = idleBlocks(draft.blocks, ipam.around.now());
      const again = found.filter(({ id }) => seen.has(id));
      for (const { block } of again) draft.giveBack(block);
      return {
        idle: new Set(found.filter(({ id }) => !seen.has(id)).map(({ id }) => id)),
        returned: again.map(({ block }) => formatCidr(block.cidr)),
      };
    },
  });
}
