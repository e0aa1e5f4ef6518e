import { printable } from './printable.ts';

/** Text of cnictl's own that may have colours. Foreign text in it is escaped already. */
export interface Painted {
  readonly painted: string;
}

/** A plain string may be foreign, so its control characters are escaped. */
export type Cell = string | Painted;

export const painted = (text: string): Painted => ({ painted: text });

export const renderCell = (cell: Cell): string => (typeof cell === 'string' ? printable(cell) : cell.painted);
