import type { Address } from './address.ts';
import { isExpected, slotIndex, type Block, type Expected, type UsedSlot } from './block.ts';
import { SENTENCE_MS, type Condemnation } from './condemnation.ts';

/** The result of condemning one allocation. */
export type Condemned =
  | { readonly outcome: 'condemned'; readonly block: Block }
  /** It was condemned a short time ago. */
  | { readonly outcome: 'already' }
  /** Another allocation has the address. */
  | { readonly outcome: 'changed' }
  | { readonly outcome: 'free' };

/** Condemns the allocation if the slot still holds it (rule 5). */
export function condemnSlot(
  block: Block,
  address: Address,
  expected: Expected,
  condemned: Condemnation,
): Condemned {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if (slot?.state !== 'used') return { outcome: 'free' };
  if (!isExpected(slot, expected)) return { outcome: 'changed' };
  if (slot.condemned && Math.abs(condemned.at - slot.condemned.at) < SENTENCE_MS / 2)
    return { outcome: 'already' };
  return { outcome: 'condemned', block: withSlot(block, index, { ...slot, condemned }) };
}

/**
 * Takes the sentence off an allocation: its attachment was added again.
 * @returns the same object if there is none
 */
export function pardonSlot(block: Block, address: Address): Block {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if (slot?.state !== 'used' || !slot.condemned) return block;
  const { condemned: _, ...rest } = slot;
  return withSlot(block, index, rest);
}

const withSlot = (block: Block, index: number, slot: UsedSlot): Block => ({
  ...block,
  slots: block.slots.with(index, slot),
});
