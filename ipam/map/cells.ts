import { isCooling, isKept, restMs, type Block } from '../model/block.ts';
import { outlineOf, type SlotOutline } from '../records/lazy-block.ts';

/** What an address is on the map. */
export const CELL_STATES = ['free', 'used', 'cooling', 'kept', 'reserved', 'conflict', 'unknown'] as const;
export type CellState = (typeof CELL_STATES)[number];
export type CellCounts = Readonly<Record<CellState, number>>;

/** One letter for each state, alike in the terminal, on the page and in its JSON. */
export const CELL_LETTERS: Readonly<Record<CellState, string>> = {
  free: '.',
  used: '#',
  cooling: 'c',
  kept: 'k',
  reserved: '-',
  conflict: '!',
  unknown: '?',
};

/**
 * Returns the state of a slot at a time. `conflict`: it rests because another host was seen to use
 * the address. `unknown` is for addresses of records that cannot be read.
 */
export function cellOf(slot: SlotOutline, now: number, cooldownMs: number): CellState {
  switch (slot.state) {
    case 'free':
    case 'used':
    case 'reserved':
      return slot.state;
    case 'kept':
      if (isKept(slot, now)) return 'kept';
      return isCooling(slot, now, cooldownMs) ? 'cooling' : 'free';
    case 'released':
      if (!isCooling(slot, now, cooldownMs)) return 'free';
      return slot.conflictMac === undefined ? 'cooling' : 'conflict';
  }
}

export const cellsOf = (block: Block, now: number, cooldownMs: number): CellState[] =>
  outlineOf(block).map((slot) => cellOf(slot, now, cooldownMs));

export const NO_CELLS: CellCounts = {
  free: 0,
  used: 0,
  cooling: 0,
  kept: 0,
  reserved: 0,
  conflict: 0,
  unknown: 0,
};

/** Returns how many cells are of each state. */
export function countCells(cells: readonly CellState[]): CellCounts {
  const counts: Record<CellState, number> = { ...NO_CELLS };
  for (const cell of cells) counts[cell] += 1;
  return counts;
}

interface Counted {
  readonly counts: CellCounts;
  readonly cooldownMs: number;
  /** The counts hold from one time, and until before the other. */
  readonly from: number;
  readonly until: number;
}

/** Blocks are immutable, so a block's counts change only with the time. */
const counted = new WeakMap<Block, Counted>();

/** Returns how many cells of the block are of each state. Counts them only when they may differ. */
export function blockCounts(block: Block, now: number, cooldownMs: number): CellCounts {
  const known = counted.get(block);
  if (known?.cooldownMs === cooldownMs && known.from <= now && now < known.until) return known.counts;
  const counts = countCells(cellsOf(block, now, cooldownMs));
  counted.set(block, { counts, cooldownMs, ...holdsAround(block, now, cooldownMs) });
  return counts;
}

/** Returns from when until when no cell of the block changes by time alone. */
export function holdsAround(block: Block, now: number, cooldownMs: number): { from: number; until: number } {
  let [from, until] = [-Infinity, Infinity];
  for (const slot of outlineOf(block))
    for (const turn of turnsOf(slot, cooldownMs))
      if (turn <= now) from = Math.max(from, turn);
      else until = Math.min(until, turn);
  return { from, until };
}

/** A rest begins as long before its start as it ends after: a clock may have been set back. */
function turnsOf(slot: SlotOutline, cooldownMs: number): number[] {
  if (slot.state === 'released') {
    const rest = restMs(slot, cooldownMs);
    return [slot.releasedAt - rest + 1, slot.releasedAt + rest];
  }
  if (slot.state !== 'kept') return [];
  return [slot.keep.forMs ?? 0, cooldownMs].flatMap((ms) => [slot.keptAt - ms + 1, slot.keptAt + ms]);
}
