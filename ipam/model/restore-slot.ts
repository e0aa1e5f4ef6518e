import type { Address } from './address.ts';
import type { Owner } from './attachment.ts';
import { isOwnedBy, nodeOf, SET_ASIDE_MS, slotIndex, type Block, type Slot, type UsedSlot } from './block.ts';
import { isSamePod, podInterfaceOf, type Keep } from './keep.ts';

/** The result of entering again what an attachment uses: see {@link restoreSlot}. */
export type Restored =
  | { readonly outcome: 'restored'; readonly block: Block }
  /** The block has this allocation. */
  | { readonly outcome: 'held' }
  /** The block says that the address is another's, or reserved: `by` names the other owner. */
  | { readonly outcome: 'conflict'; readonly by: Owner | undefined };

/** An allocation of a living attachment, by its node's own record. */
export interface Living {
  readonly address: Address;
  readonly owner: Owner;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
}

/**
 * Enters an allocation that the block has forgotten, although the owner still uses the address. The
 * allocation keeps its time, and gets a new sequence. What was kept for its pod stays kept.
 * @param node of the attachment
 * @param over whether it takes the place of another owner's allocation on the same node
 * @param wasSetBack whether etcd may name the owner of an earlier time
 */
export function restoreSlot(
  block: Block,
  { address, owner, allocatedAt }: Living,
  node: string,
  { over = false, wasSetBack = false }: { readonly over?: boolean; readonly wasSetBack?: boolean } = {},
): Restored {
  const index = slotIndex(block, address);
  const before = block.slots[index];
  if (!before || before.state === 'reserved') return { outcome: 'conflict', by: undefined };
  if (before.state === 'used') {
    const { owner: by } = before;
    if (isOwnedBy(before, owner) && nodeOf(block, before) === node) return { outcome: 'held' };
    const mayTake = over && nodeOf(block, before) === node;
    if (!mayTake && !(wasSetBack && isLaterOf(before, owner, allocatedAt)))
      return { outcome: 'conflict', by };
  }
  const isOwn = isOfPod(before, owner);
  if (before.state === 'kept' && !isOwn && !over) return { outcome: 'conflict', by: undefined };
  const keep = isOwn && before.keep;
  const sequence = block.sequence + 1;
  const slot: UsedSlot = {
    ...{ state: 'used', owner, allocatedAt, sequence },
    ...(node !== block.node && { node }),
    ...(keep && { keep }),
  };
  return { outcome: 'restored', block: { ...block, sequence, slots: block.slots.with(index, slot) } };
}

/**
 * Whether a block of another node holds the address for the pod of this living attachment, as etcd
 * was before the pod came to its node.
 * @param wasSetBack whether etcd may name the owner of an earlier time
 */
export function isKeptFor(
  block: Block,
  { address, owner, allocatedAt }: Living,
  wasSetBack: boolean,
): boolean {
  const slot = block.slots[slotIndex(block, address)];
  if (!slot) return false;
  return (
    (slot.state === 'kept' && isOfPod(slot, owner)) || (wasSetBack && isLaterOf(slot, owner, allocatedAt))
  );
}

/** Whether the slot's kept address is of the owner's pod. */
function isOfPod(slot: Slot, owner: Owner): slot is Extract<Slot, { keep?: Keep }> {
  const pod = podInterfaceOf(owner);
  if (!pod) return false;
  if (slot.state === 'kept') return isSamePod(slot.pod, pod);
  const before = slot.state === 'used' && slot.keep && podInterfaceOf(slot.owner);
  return !!before && isSamePod(before, pod);
}

/**
 * Whether the allocation is a later one of the same pod, for which the address is kept: it was
 * written when the one in the slot had ended.
 */
const isLaterOf = (slot: Slot, owner: Owner, allocatedAt: number): boolean =>
  slot.state === 'used' && isOfPod(slot, owner) && slot.allocatedAt < allocatedAt;

/**
 * Sets an address aside that a host outside the block's node uses. One that is set aside for at
 * least half of {@link SET_ASIDE_MS} more stays as it is.
 * @returns the block afterwards; the same object if nothing changed; undefined if the address is
 *   assigned, kept or reserved
 */
export function setAsideSlot(block: Block, address: Address, mac: string, now: number): Block | undefined {
  const index = slotIndex(block, address);
  const before = block.slots[index];
  if (!before || before.state === 'reserved' || before.state === 'used' || before.state === 'kept')
    return undefined;
  const isSetAside = before.state === 'released' && before.conflictMac !== undefined;
  if (isSetAside && Math.abs(now - before.releasedAt) < SET_ASIDE_MS / 2) return block;
  const sequence = block.sequence + 1;
  const slot: Slot = { state: 'released', releasedAt: now, sequence, conflictMac: mac };
  return { ...block, sequence, slots: block.slots.with(index, slot) };
}
