import type { Address } from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { usedSlots, type UsedSlot } from '../model/block.ts';
import type { HeldBlock } from './node-blocks.ts';

/** An address as it was seen given out. */
export interface SeenAllocation {
  readonly address: Address;
  readonly slot: UsedSlot;
}

/** Every address that the blocks' node has given out. */
export function allocationsOf(blocks: readonly HeldBlock[]): SeenAllocation[] {
  return blocks.flatMap(({ block }) => usedSlots(block));
}

/** What earlier sandboxes of the owner's pod have for the same interface. No two of them live at once, but that is to be proven. */
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
