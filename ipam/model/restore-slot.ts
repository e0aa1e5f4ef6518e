import type { Address } from './address.ts';
import type { Owner } from './attachment.ts';
import { isOwnedBy, SET_ASIDE_MS, slotIndex, type Block, type Slot, type UsedSlot } from './block.ts';

/** The result of entering again what an attachment uses: see {@link restoreSlot}. */
export type Restored =
  | { readonly outcome: 'restored'; readonly block: Block }
  /** The block has this allocation. */
  | { readonly outcome: 'held' }
  /** The block says that the address is another's, or reserved: `by` names the other owner. */
  | { readonly outcome: 'conflict'; readonly by: Owner | undefined };

/**
 * Enters an allocation that the block has forgotten, although the owner still uses the address. The
 * allocation keeps its time, and gets a new sequence.
 * @param allocatedAt milliseconds since 1970
 * @param over whether it takes the place of another owner's allocation
 */
export function restoreSlot(
  block: Block,
  address: Address,
  owner: Owner,
  allocatedAt: number,
  over = false,
): Restored {
  const index = slotIndex(block, address);
  const before = block.slots[index];
  if (!before || before.state === 'reserved') return { outcome: 'conflict', by: undefined };
  if (before.state === 'used') {
    const { owner: by } = before;
    if (isOwnedBy(before, owner)) return { outcome: 'held' };
    if (!over) return { outcome: 'conflict', by };
  }
  const sequence = block.sequence + 1;
  const slot: UsedSlot = { state: 'used', owner, allocatedAt, sequence };
  return { outcome: 'restored', block: { ...block, sequence, slots: block.slots.with(index, slot) } };
}

/**
 * Sets an address aside that a host outside the block's node uses. One that is set aside for at
 * least half of {@link SET_ASIDE_MS} more stays as it is.
 * @returns the block afterwards; the same object if nothing changed; undefined if the address is
 *   assigned or reserved
 */
export function setAsideSlot(block: Block, address: Address, mac: string, now: number): Block | undefined {
  const index = slotIndex(block, address);
  const before = block.slots[index];
  if (!before || before.state === 'reserved' || before.state === 'used') return undefined;
  const isSetAside = before.state === 'released' && before.conflictMac !== undefined;
  if (isSetAside && Math.abs(now - before.releasedAt) < SET_ASIDE_MS / 2) return block;
  const sequence = block.sequence + 1;
  const slot: Slot = { state: 'released', releasedAt: now, sequence, conflictMac: mac };
  return { ...block, sequence, slots: block.slots.with(index, slot) };
}
