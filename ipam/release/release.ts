import { cidrContains, sameAddress, type Address } from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { expectedOf, isOwnedBy, nodeOf, usedSlots, type Block, type UsedSlot } from '../model/block.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import type { SeenAllocation } from '../node/allocations.ts';
import { checkReadable } from '../node/hidden.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { refreshGuests } from '../node/refresh.ts';
import { takeBackAll, type BelievedAllocation } from '../node/take-back.ts';

/** What to release from the node's own blocks. */
export type ReleaseRequest = {
  readonly node: string;
  /** For the history. */
  readonly cause: ReleaseCause;
} & (
  | {
      /** All that this attachment has. */
      readonly attachment: Attachment;
      /** Its addresses by the node's own record; absent: unknown. */
      readonly addresses?: readonly Address[];
      /**
       * Only allocations made at or before this time, in milliseconds since 1970: a deferred
       * release must not release what the same attachment got later. Absent: at any time.
       */
      readonly allocatedUntil?: number;
      /**
       * True when an earlier transaction of the attachment may still be on its way to etcd. The
       * release then makes sure that it can no longer take place.
       */
      readonly fencing?: boolean;
    }
  /** Exactly these. One that is gone or changed its owner stays as it is (rule 5). */
  | { readonly allocations: readonly SeenAllocation[] }
);

/**
 * Releases addresses of the node's own blocks, all families in one transaction. It succeeds if they
 * are already gone.
 * @returns the released addresses, as text
 * @throws IpamError `contention`, `store-…`; `corrupt-record` if an unreadable record of the node
 *   may hold an address of the attachment: then nothing is released
 */
export function release(ipam: Ipam, request: ReleaseRequest): Promise<string[]> {
  return ipam.runner.run<string[]>(request.node, {
    change: async (transaction) => {
      if (!(await refreshGuests(ipam, transaction, (block) => concerns(request, block)))) return undefined;
      const { held } = transaction;
      const believed = believedIn(held, request);
      if (transaction.unreadable.length > 0) {
        const hidden =
          'attachment' in request
            ? notAmong(request.addresses, believed)
            : notHeld(held, request.allocations);
        const mayBeHidden = hidden ? hidden.length > 0 : believed.length === 0;
        if (mayBeHidden && transaction.cached) return undefined;
        if (mayBeHidden) checkReadable(transaction, hidden);
      }
      const released = takeBackAll(transaction, believed, ipam.effects.now());
      const wanted = 'allocations' in request ? request.allocations.length : Math.max(1, believed.length);
      if (released.length >= wanted) return released;
      // Only a complete and fresh read proves that an allocation is gone.
      if (transaction.cached) return undefined;
      if ('attachment' in request && request.fencing) transaction.touch();
      return released;
    },
    ...('attachment' in request && { holder: request.attachment }),
  });
}

const concerns = (request: ReleaseRequest, block: Block): boolean =>
  'allocations' in request
    ? request.allocations.some(({ address }) => cidrContains(block.cidr, address))
    : block.slots.some((slot) => isOwnedBy(slot, request.attachment));

/** Returns those of the attachment's addresses of which no allocation was found. */
const notAmong = (
  addresses: readonly Address[] | undefined,
  found: readonly BelievedAllocation[],
): Address[] | undefined =>
  addresses?.filter((address) => !found.some((each) => sameAddress(each.address, address)));

/** Returns the addresses of the allocations that are in none of the blocks. */
const notHeld = (blocks: readonly HeldBlock[], allocations: readonly SeenAllocation[]): Address[] =>
  allocations
    .map(({ address }) => address)
    .filter((address) => !blocks.some(({ block }) => cidrContains(block.cidr, address)));

function believedIn(blocks: readonly HeldBlock[], request: ReleaseRequest): BelievedAllocation[] {
  const { cause } = request;
  if ('allocations' in request)
    return request.allocations.map(({ address, slot }) => ({ address, expected: expectedOf(slot), cause }));
  const { node, attachment, allocatedUntil = Infinity } = request;
  const isMeant = (slot: UsedSlot): boolean =>
    isOwnedBy(slot, attachment) && slot.allocatedAt <= allocatedUntil;
  return blocks.flatMap(({ block }) =>
    usedSlots(block, isMeant)
      .filter(({ slot }) => nodeOf(block, slot) === node)
      .map(({ address, slot }) => ({ address, expected: expectedOf(slot), cause })),
  );
}
