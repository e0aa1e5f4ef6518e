import { cidrContains, formatAddress, type Address } from './address.ts';
import type { Ipam } from './allocator.ts';
import { releaseSlot, usedSlots, type Attachment, type Expected, type UsedSlot } from './block.ts';
import type { HeldBlock } from './holdings.ts';
import type { ReleaseCause } from './lifetime.ts';
import { recordLifetime } from './lifetime-record.ts';
import { submit } from './orders.ts';

/** An address as somebody saw it given out. */
export interface SeenAllocation {
  readonly address: Address;
  readonly slot: UsedSlot;
}

/** Every address that the blocks' node has given out. */
export function allocationsOf(blocks: readonly HeldBlock[]): SeenAllocation[] {
  return blocks.flatMap(({ block }) => usedSlots(block));
}

/** What earlier sandboxes of the owner's pod have for the same interface: no two of them live at once, but that is to be proven. */
export function findSuperseded(
  blocks: readonly HeldBlock[],
  owner: Attachment & { readonly podUid?: string },
): SeenAllocation[] {
  const { podUid, ifname, containerId } = owner;
  if (podUid === undefined) return [];
  const isOlder = ({ owner: other }: UsedSlot): boolean =>
    other.podUid === podUid && other.ifname === ifname && other.containerId !== containerId;
  return blocks.flatMap(({ block }) => usedSlots(block, isOlder));
}

/**
 * Takes back just these allocations from the node's own blocks, all in one transaction. One that is gone or changed hands
 * is left as it is (rule 5): container, interface, sequence and time of the allocation are compared.
 * @returns the addresses that were released, as text
 * @throws IpamError `contention`, `store-…`
 */
export function releaseExact(
  ipam: Ipam,
  node: string,
  seen: readonly SeenAllocation[],
  cause: ReleaseCause,
): Promise<string[]> {
  return submit<string[]>(ipam, node, {
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is the order's failure
    change: async (draft) => {
      const now = ipam.around.now();
      const released: string[] = [];
      for (const { address, slot } of seen) {
        const held = draft.blocks.find(({ block }) => cidrContains(block.cidr, address));
        if (!held) continue;
        const result = releaseSlot(held.block, address, expectedOf(slot), now, cause);
        if (result.outcome !== 'released') continue;
        draft.put(result.block);
        draft.tell(recordLifetime(held.range, result.block, result.lifetime));
        released.push(formatAddress(address));
      }
      // That something is gone is proven only by what is read anew.
      return draft.cached && released.length < seen.length ? undefined : released;
    },
  });
}

function expectedOf({ owner, sequence, allocatedAt }: UsedSlot): Expected {
  return { containerId: owner.containerId, ifname: owner.ifname, sequence, allocatedAt };
}
