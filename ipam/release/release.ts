import { cidrContains, formatAddress } from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { expectedOf, isOwnedBy, usedSlots, type UsedSlot } from '../model/block.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import type { SeenAllocation } from '../node/allocations.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { NodeTransaction } from '../node/transaction.ts';
import { takeBack, type BelievedAllocation } from './take-back.ts';

/** What is released of the node's own blocks. */
export type ReleaseRequest = {
  readonly node: string;
  /** For the history. */
  readonly cause: ReleaseCause;
} & (
  | {
      /** Whatever this attachment has. */
      readonly attachment: Attachment;
      /**
       * Only what was given at or before this time, in milliseconds since 1970: a deferred release must not take what the same
       * attachment was given later. Absent: at any time.
       */
      readonly allocatedUntil?: number;
    }
  /** Just these. One that is gone or changed hands is left as it is (rule 5). */
  | { readonly allocations: readonly SeenAllocation[] }
);

/**
 * Takes addresses back from the node's own blocks, all families in one transaction. Releasing what is gone succeeds.
 * @returns the addresses that were released, as text
 * @throws IpamError `contention`, `store-…`
 */
export function release(ipam: Ipam, request: ReleaseRequest): Promise<string[]> {
  return ipam.runner.run<string[]>(request.node, {
    change: (transaction) => {
      const believed = believedIn(transaction.blocks, request);
      const released = takeBackAll(transaction, believed, ipam.effects.now());
      const wanted = 'allocations' in request ? request.allocations.length : Math.max(1, believed.length);
      if (released.length >= wanted) return released;
      // That something is gone is proven only by what is read anew, and whole.
      if (transaction.cached) return undefined;
      if ('attachment' in request && released.length === 0) transaction.checkWhole();
      return released;
    },
  });
}

function believedIn(blocks: readonly HeldBlock[], request: ReleaseRequest): BelievedAllocation[] {
  const { cause } = request;
  if ('allocations' in request)
    return request.allocations.map(({ address, slot }) => ({ address, expected: expectedOf(slot), cause }));
  const { attachment, allocatedUntil = Infinity } = request;
  const isMeant = (slot: UsedSlot): boolean =>
    isOwnedBy(slot, attachment) && slot.allocatedAt <= allocatedUntil;
  return blocks.flatMap(({ block }) =>
    usedSlots(block, isMeant).map(({ address, slot }) => ({ address, expected: expectedOf(slot), cause })),
  );
}

function takeBackAll(
  transaction: NodeTransaction,
  believed: readonly BelievedAllocation[],
  now: number,
): string[] {
  return transaction.blocks.flatMap((held) => {
    const own = believed.filter(({ address }) => cidrContains(held.block.cidr, address));
    const { block, outcomes, history } = takeBack(held, own, now);
    if (block === held.block) return [];
    transaction.put(block);
    for (const record of history) transaction.tell(record);
    return own.filter((_, i) => outcomes[i] === 'released').map(({ address }) => formatAddress(address));
  });
}
