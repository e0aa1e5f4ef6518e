import { formatCidr, type Family } from '../model/address.ts';
import { keptSlots } from '../model/kept-slot.ts';
import { isFree, type Block } from '../model/block.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { blockUseOf, surplusOf } from '../node/surplus.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';

/** With fewer assignable addresses than this, the agent claims the next block ahead of need. */
export const LOW_WATER = 4;

/** Returns whether the node will soon need another block. Cooling addresses do not count. */
export function isLow(blocks: readonly HeldBlock[], request: Source, family: Family, now: number): boolean {
  const available = blocks
    .filter(({ range }) => isEligible(range, { request, family, fixed: undefined }))
    .flatMap(({ block, range }) => block.slots.filter((slot) => isFree(slot, now, range.cooldownMs)));
  return available.length < LOW_WATER;
}

/**
 * Claims a block for a node that has few addresses left, so that no pod waits for the claim.
 * @returns the block's subnet; undefined if the node is draining or has enough, or if no range has
 *   a block left
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
          const context = {
            ipam,
            request,
            family,
            blocks,
            claims,
            others: transaction,
            fixed: undefined,
            unproven: false,
            attempt,
          };
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

/**
 * Returns the blocks that a node can do without. Each ID contains the sequence, so that two calls
 * show whether the block changed in between.
 */
export function idleBlocks(
  blocks: readonly HeldBlock[],
  now: number,
  nodeDrains = false,
): { readonly id: string; readonly block: Block }[] {
  return surplusOf(blocks.map((held) => ({ ...blockUseOf(held, now, nodeDrains), block: held.block }))).map(
    ({ block }) => ({ id: `${formatCidr(block.cidr)}@${block.sequence}`, block }),
  );
}

/** Most writes with which blocks are returned in one transaction: etcd allows 128 operations. */
const MOST_WRITES = 64;

/**
 * Returns idle blocks to their range if they were idle and unchanged since an earlier call.
 * @param seen the `idle` of the earlier call
 * @returns in `idle` the IDs to pass to the next call, in `returned` the subnets that were
 *   returned: at most 32, the others come next
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
      let writes = 0;
      const fits = (block: Block): boolean => (writes += 2 + keptSlots(block).length) <= MOST_WRITES;
      const again = found.filter(({ id, block }) => seen.has(id) && fits(block));
      for (const { block } of again) transaction.giveBack(block);
      return {
        idle: new Set(found.filter((each) => !again.includes(each)).map(({ id }) => id)),
        returned: again.map(({ block }) => formatCidr(block.cidr)),
      };
    },
  });
}
