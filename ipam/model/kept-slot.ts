import type { Address } from './address.ts';
import { slotIndex, type Block, type KeptSlot, type Slot, type UsedSlot } from './block.ts';
import { type Keep } from './keep.ts';

/** Returns every kept slot that satisfies `isWanted`, with its index. */
export function keptSlots(
  block: Block,
  isWanted: (slot: KeptSlot) => boolean = () => true,
): { readonly index: number; readonly slot: KeptSlot }[] {
  return block.slots.flatMap((slot, index) =>
    slot.state === 'kept' && isWanted(slot) ? [{ index, slot }] : [],
  );
}

/**
 * Ends the keeping of an address that no attachment has. It rests, and is free then.
 * @returns the same object if the slot is not kept as `expected`, which is its sequence
 */
export function endKept(block: Block, address: Address, expected: number, now: number): Block {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if (slot?.state !== 'kept' || slot.sequence !== expected) return block;
  const sequence = block.sequence + 1;
  const released: Slot = { state: 'released', releasedAt: now, sequence };
  return { ...block, sequence, slots: block.slots.with(index, released) };
}

/**
 * Sets since when the StatefulSet of the pod is known not to make it any more.
 * @param at milliseconds since 1970; undefined: it may make it
 * @returns the same object if the slot is not kept as `expected`, which is its sequence
 */
export function markScaledDown(
  block: Block,
  address: Address,
  expected: number,
  at: number | undefined,
): Block {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if (slot?.state !== 'kept' || slot.sequence !== expected || slot.scaledDownAt === at) return block;
  const { scaledDownAt: _, ...rest } = slot;
  const marked: KeptSlot = at === undefined ? rest : { ...rest, scaledDownAt: at };
  return { ...block, slots: block.slots.with(index, marked) };
}

/**
 * Sets by which rule an address is kept, now or when its attachment ends.
 * @param keep undefined: not at all, which an attachment's only can be
 * @returns the same object if the slot has not the sequence `expected`
 */
export function setKeep(block: Block, address: Address, expected: number, keep: Keep | undefined): Block {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if ((slot?.state !== 'used' && slot?.state !== 'kept') || slot.sequence !== expected) return block;
  if (slot.state === 'kept')
    return keep ? { ...block, slots: block.slots.with(index, { ...slot, keep }) } : block;
  const { keep: _, ...rest } = slot;
  const next: UsedSlot = keep ? { ...rest, keep } : rest;
  return { ...block, slots: block.slots.with(index, next) };
}
