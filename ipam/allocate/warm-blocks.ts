import { formatCidr, type Family } from '../model/address.ts';
import { isCooling, type Block } from '../model/block.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { blockUseOf, surplusOf } from '../node/surplus.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';

/** With fewer addresses than this that can be given out now, the next block is claimed ahead of need. */
export const LOW_WATER = 4;

/** Whether the node will soon need another block. Cooling addresses do not count: they cannot be given out now. */
export function isLow(blocks: readonly HeldBlock[], request: Source, family: Family, now: number): boolean {
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
export function claimAhead(ipam: Ipam, request: Source, family: Family): Promise<string | undefined> {
  return ipam.runner
    .run<{ claimed?: string }>(request.node, {
      change: async (transaction, attempt) => {
        if (transaction.draining || !isLow(transaction.blocks, request, family, ipam.effects.now()))
          return {};
        try {
          const { blocks, claims } = transaction;
          const context = { ipam, request, family, blocks, claims, fixed: undefined, attempt };
          const claim = await claimBlock(context);
          if (!claim) return undefined;
          transaction.put(claim.block, claim);
          return { claimed: formatCidr(claim.block.cidr) };
        } catch (error) {
          if (error instanceof IpamError && error.code === 'exhausted') return {};
          throw error;
        }
      },
    })
    .then(({ claimed }) => claimed);
}

/** The blocks that a node can do without, named with their sequence, so that two looks tell whether anything happened in between. */
export function idleBlocks(
  blocks: readonly HeldBlock[],
  now: number,
  nodeDrains = false,
): { readonly id: string; readonly block: Block }[] {
  return surplusOf(blocks.map((held) => ({ ...blockUseOf(held, now, nodeDrains), block: held.block }))).map(
    ({ block }) => ({ id: `${formatCidr(block.cidr)}@${block.sequence}`, block }),
  );
}

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
  return ipam.runner.run(node, {
    change: (transaction) => {
      if (transaction.cached) return undefined;
      const found = idleBlocks(transaction.blocks, ipam.effects.now(), transaction.draining);
      const again = found.filter(({ id }) => seen.has(id));
      for (const { block } of again) transaction.giveBack(block);
      return {
        idle: new Set(found.filter(({ id }) => !seen.has(id)).map(({ id }) => id)),
        returned: again.map(({ block }) => formatCidr(block.cidr)),
      };
    },
  });
}
