import type { Address } from './address.ts';
import { isExpected, slotIndex, type Block, type Expected, type UsedSlot } from './block.ts';
import type { UnknownFields } from './unknown-fields.ts';

/**
 * A sentence on an allocation whose pod is gone: its node is to end the interface, and then to
 * release the address. Until then the address stays in use, because the interface may still answer
 * for it.
 */
export interface Condemnation {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The operator or check that found it, for the history: `alice@admin-1`. */
  readonly by: string;
  /** The kind of leak, for the history: `pod-gone`. */
  readonly reason: string;
  readonly unknownFields?: UnknownFields;
}

/**
 * How long a sentence holds, in milliseconds. A check that still finds the leak renews it. An older
 * one is not carried out, for the pod may be back since.
 */
export const SENTENCE_MS = 3_600_000;

/** Returns whether the node may carry the sentence out at this time. */
export function isInForce(condemned: Condemnation | undefined, now: number): boolean {
  return condemned !== undefined && Math.abs(now - condemned.at) < SENTENCE_MS;
}

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
