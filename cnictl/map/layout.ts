import type { Size } from '../render/frame.ts';

/** Which lines a screen has room for beside its rows. A small one leaves the less needed out. */
export interface Layout {
  readonly header: boolean;
  readonly titles: boolean;
  /** What is under the cursor, in words. */
  readonly about: boolean;
  readonly legend: boolean;
  /** Keys, the search, or what a key led to. */
  readonly footer: boolean;
}

export const layoutFor = ({ rows }: Size): Layout => ({
  header: rows >= 4,
  titles: rows >= 6,
  about: rows >= 8,
  legend: rows >= 12,
  footer: rows >= 3,
});

/** How many rows of the map fit. */
export function bodyRows(size: Size): number {
  const beside = Object.values(layoutFor(size)).filter(Boolean).length;
  return Math.max(1, size.rows - beside);
}
