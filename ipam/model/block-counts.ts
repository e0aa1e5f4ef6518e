/** The numbers of a block: slots by state, releases, and what a change assigned and released. */
import { isCooling, isKept, restMs, type Block } from './block.ts';

const usedCount = (block: Block): number => block.slots.filter((slot) => slot.state === 'used').length;

/**
 * Returns how many releases the block has seen, counted from the start of its sequence. Every
 * assignment and every release increases the sequence by one. The assignments not yet released are
 * the used slots.
 */
export function releaseCount(block: Block): number {
  return Math.max(0, Math.floor((block.sequence - usedCount(block)) / 2));
}

/** How many addresses a change assigned and released. */
export interface Tally {
  readonly given: number;
  readonly released: number;
}

/**
 * Returns what changed between two states of a block.
 * @param before undefined if the block was claimed in between
 */
export function tallyOf(before: Block | undefined, after: Block): Tally {
  const sequencesOf = (block: Block | undefined): Set<number> =>
    new Set(block?.slots.flatMap((slot) => (slot.state === 'used' ? [slot.sequence] : [])));
  const [earlier, later] = [sequencesOf(before), sequencesOf(after)];
  return {
    given: [...later].filter((sequence) => !earlier.has(sequence)).length,
    released: [...earlier].filter((sequence) => !later.has(sequence)).length,
  };
}

export interface SlotCounts {
  /** Slots that pods can have: all except the reserved ones. */
  readonly capacity: number;
  readonly used: number;
  readonly cooling: number;
  /** For pods that are gone and may come again. */
  readonly kept: number;
  readonly free: number;
  readonly reserved: number;
}

export function countSlots(block: Block, now: number, cooldownMs: number): SlotCounts {
  const reserved = block.slots.filter((slot) => slot.state === 'reserved').length;
  const used = usedCount(block);
  const cooling = block.slots.filter((slot) => isCooling(slot, now, cooldownMs)).length;
  const kept = block.slots.filter((slot) => isKept(slot, now)).length;
  const capacity = block.slots.length - reserved;
  return { capacity, used, cooling, kept, free: capacity - used - cooling - kept, reserved };
}

/** Returns the milliseconds until the first slot stops cooling; undefined if none is cooling. */
export function nextRestedMs(block: Block, now: number, cooldownMs: number): number | undefined {
  const waits = block.slots.flatMap((slot) =>
    slot.state === 'released' && isCooling(slot, now, cooldownMs)
      ? [slot.releasedAt + restMs(slot, cooldownMs) - now]
      : [],
  );
  return waits.length === 0 ? undefined : Math.min(...waits);
}
