import type { Address } from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { usedSlots, type UsedSlot } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { HeldBlock } from './node-blocks.ts';

/** An allocation as it was when it was read. */
export interface SeenAllocation {
  readonly address: Address;
  readonly slot: UsedSlot;
}

/** Returns every allocation in the blocks. */
export function allocationsOf(blocks: readonly HeldBlock[]): SeenAllocation[] {
  return blocks.flatMap(({ block }) => usedSlots(block));
}

/** An allocation of an earlier sandbox, with its range. */
export interface SupersededAllocation extends SeenAllocation {
  readonly range: Range;
}

/**
 * Returns what earlier sandboxes of the owner's pod have for the same interface. No two sandboxes
 * of a pod live at once, but the caller still has to prove that the earlier one is gone.
 */
export function findSuperseded(
  blocks: readonly HeldBlock[],
  owner: Attachment & { readonly podUid?: string },
): SupersededAllocation[] {
  const { podUid, ifname, containerId } = owner;
  if (podUid === undefined) return [];
  const isOlder = ({ owner: other }: UsedSlot): boolean =>
    other.podUid === podUid && other.ifname === ifname && other.containerId !== containerId;
  return blocks.flatMap(({ block, range }) => usedSlots(block, isOlder).map((seen) => ({ ...seen, range })));
}
