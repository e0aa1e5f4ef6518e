import { CELL_LETTERS, CELL_STATES, type CellCounts, type CellState } from '../../ipam/map/cells.ts';
import type { Line, Piece, Style } from '../render/frame.ts';

export const CELL_STYLES: Readonly<Record<CellState, Style>> = {
  free: 'dim',
  used: 'green',
  cooling: 'cyan',
  kept: 'blue',
  reserved: 'dim',
  conflict: 'red',
  unknown: 'yellow',
};

/**
 * Returns cells as pieces, neighbours of one state in one.
 * @param cursor index of the cell under the cursor, or -1
 */
export function cellPieces(cells: readonly CellState[], cursor = -1): Piece[] {
  const pieces: Piece[] = [];
  let begun = 0;
  for (let i = 0; i < cells.length; i++) {
    const state = cells[i] ?? 'free';
    const isEnd = cells[i + 1] !== state || i === cursor || i + 1 === cursor;
    if (!isEnd) continue;
    const text = CELL_LETTERS[state].repeat(i + 1 - begun);
    pieces.push({ text, style: CELL_STYLES[state], ...(i === cursor && { inverse: true }) });
    begun = i + 1;
  }
  return pieces;
}

export const lettersOf = (cells: readonly CellState[]): string =>
  cells.map((cell) => CELL_LETTERS[cell]).join('');

/** `. free  # used  …` */
export const LEGEND: Line = CELL_STATES.flatMap((state, i): Piece[] => [
  ...(i === 0 ? [] : [{ text: '  ' }]),
  { text: CELL_LETTERS[state], style: CELL_STYLES[state] },
  { text: ` ${state}`, style: 'dim' },
]);

/** How much of what pods can have is taken: by pods, by rest after them, for pods that went. */
export const takenOf = ({ used, cooling, kept, conflict, unknown }: CellCounts): number =>
  used + cooling + kept + conflict + unknown;
