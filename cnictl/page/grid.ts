/** Equal boxes, side by side in a column of the page: where each one is. */
export interface Grid {
  readonly count: number;
  readonly columns: number;
  readonly rows: number;
  readonly width: number;
  readonly height: number;
  /** Whether the second box is below the first, not beside it. */
  readonly isDown: boolean;
  readonly gap: number;
}

export interface GridOptions {
  readonly count: number;
  /** Width of all, in pixels of CSS. */
  readonly width: number;
  readonly minWidth: number;
  readonly boxHeight: number;
  readonly gap: number;
  readonly isDown?: boolean;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function gridOf({ count, width, minWidth, boxHeight, gap, isDown = false }: GridOptions): Grid {
  const fitting = Math.max(1, Math.floor((width + gap) / (minWidth + gap)));
  const columns = Math.max(1, Math.min(fitting, count));
  const boxWidth = Math.max(minWidth, Math.floor((width - (fitting - 1) * gap) / fitting));
  return {
    count,
    columns,
    rows: Math.ceil(count / columns),
    width: boxWidth,
    height: boxHeight,
    isDown,
    gap,
  };
}

export const gridHeight = ({ rows, height, gap }: Grid): number => Math.max(0, rows * (height + gap) - gap);

export function boxOf(grid: Grid, index: number): Box {
  const { columns, rows, width, height, gap, isDown } = grid;
  const [column, row] = isDown
    ? [Math.floor(index / rows), index % rows]
    : [index % columns, Math.floor(index / columns)];
  return { x: column * (width + gap), y: row * (height + gap), width, height };
}

/** Returns the box at a place; undefined: there is none. */
export function indexAt(grid: Grid, x: number, y: number): number | undefined {
  const { columns, rows, width, height, gap, isDown, count } = grid;
  const [column, row] = [Math.floor(x / (width + gap)), Math.floor(y / (height + gap))];
  if (column < 0 || row < 0 || column >= columns || row >= rows) return undefined;
  if (x - column * (width + gap) >= width || y - row * (height + gap) >= height) return undefined;
  const index = isDown ? column * rows + row : row * columns + column;
  return index < count ? index : undefined;
}

/** Returns the boxes between two heights, which need not be in order. */
export function visible(grid: Grid, top: number, bottom: number): number[] {
  const { columns, rows, height, gap, isDown, count } = grid;
  const first = Math.max(0, Math.floor(top / (height + gap)));
  const last = Math.min(rows - 1, Math.floor(bottom / (height + gap)));
  const found: number[] = [];
  for (let row = first; row <= last; row++)
    for (let column = 0; column < columns; column++) {
      const index = isDown ? column * rows + row : row * columns + column;
      if (index < count) found.push(index);
    }
  return found;
}

/** Returns the index that a key leads to from another; undefined: the key leads nowhere. */
export function moved(grid: Grid, index: number, key: string, page: number): number | undefined {
  const { columns, rows, isDown, count } = grid;
  const [aside, along] = isDown ? [rows, 1] : [1, columns];
  const steps: Readonly<Record<string, number>> = {
    ...{ ArrowLeft: -aside, ArrowRight: aside, ArrowUp: -along, ArrowDown: along },
    ...{ PageUp: -along * page, PageDown: along * page, Home: -count, End: count },
  };
  const step = steps[key];
  if (step === undefined || count === 0) return undefined;
  const next = index + step;
  if (key === 'Home' || key === 'End' || key.startsWith('Page'))
    return Math.max(0, Math.min(count - 1, next));
  return next < 0 || next >= count ? index : next;
}
