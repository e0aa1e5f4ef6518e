import type { Address } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { nodeOf, usedSlots, type UsedSlot } from '../model/block.ts';
import { ruleField } from '../model/holder.ts';
import { isSamePod, podInterfaceOf } from '../model/keep.ts';
import type { Range } from '../model/range.ts';
import type { HeldBlock } from './node-blocks.ts';

/** An allocation as it was when it was read. */
export interface SeenAllocation {
  readonly address: Address;
  readonly slot: UsedSlot;
}

/** An allocation with its range. */
export interface RangedAllocation extends SeenAllocation {
  readonly range: Range;
  /** Name of the rule whose own block it is of; absent: a node's. */
  readonly rule?: string;
}

/** Returns every allocation of the node's attachments, also in blocks of other nodes. */
export function allocationsOn(
  node: string,
  { blocks, guests }: { readonly blocks: readonly HeldBlock[]; readonly guests: readonly HeldBlock[] },
): RangedAllocation[] {
  return [...blocks, ...guests].flatMap(({ block, range }) =>
    usedSlots(block, (slot) => nodeOf(block, slot) === node).map((seen) => ({
      ...{ ...seen, range },
      ...ruleField(block),
    })),
  );
}

/**
 * Returns what earlier sandboxes of the owner's pod have for the same interface, or earlier pods of
 * its name whose address it is to keep. No two of them live at once, but the caller still has to
 * prove that the earlier one is gone.
 */
export function findSuperseded(allocations: readonly RangedAllocation[], owner: Owner): RangedAllocation[] {
  const { podUid, ifname, containerId } = owner;
  const pod = podInterfaceOf(owner);
  return allocations.filter(({ slot: { owner: other, keep } }) => {
    if (other.ifname !== ifname || other.containerId === containerId) return false;
    if (podUid !== undefined && other.podUid === podUid) return true;
    const otherPod = keep && !keep.anyPod && podInterfaceOf(other);
    return !!pod && !!otherPod && isSamePod(pod, otherPod);
  });
}
