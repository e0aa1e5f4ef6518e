/** Where the focus is, in how many rows of how many cells. */
export interface Step {
  readonly row: number;
  readonly cell: number;
  readonly cells: number;
  readonly rows: number;
  /** Rows that are seen at once. */
  readonly page: number;
}

/** Returns row and cell that a key leads to; undefined: it leads nowhere. */
export function step(key: string, { row, cell, cells, rows, page }: Step): [number, number] | undefined {
  const at = (index: number): [number, number] => {
    const place = Math.max(0, Math.min(rows * cells - 1, index));
    return [Math.floor(place / cells), place % cells];
  };
  const rowAt = (index: number): [number, number] => [Math.max(0, Math.min(rows - 1, index)), cell];
  switch (key) {
    case 'ArrowLeft':
      return at(row * cells + cell - 1);
    case 'ArrowRight':
      return at(row * cells + cell + 1);
    case 'ArrowUp':
      return rowAt(row - 1);
    case 'ArrowDown':
      return rowAt(row + 1);
    case 'PageUp':
      return rowAt(row - page);
    case 'PageDown':
      return rowAt(row + page);
    case 'Home':
      return at(0);
    case 'End':
      return at(rows * cells - 1);
    default:
      return undefined;
  }
}
