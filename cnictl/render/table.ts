import { renderCell, type Cell } from './cell.ts';
import { widthOf, type Paint } from './paint.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Cell;
  /** Aligns to the right, for numbers. */
  readonly right?: boolean;
  /** Only for `-o wide`. */
  readonly wide?: boolean;
}

/**
 * Renders aligned columns, two spaces apart. A long value widens its column and is never cut.
 * @param isWide with the columns for `-o wide`, too
 */
export function renderTable<Row>(
  all: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
  isWide = false,
): string {
  const columns = all.filter(({ wide }) => isWide || !wide);
  const titles = columns.map((column) => paint.bold(column.title));
  const lines = [titles, ...rows.map((row) => columns.map((column) => renderCell(column.value(row))))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => widthOf(line[i] ?? ''))));
  return lines
    .map((line) =>
      line
        .map((cell, i) => {
          const space = ' '.repeat((widths[i] ?? 0) - widthOf(cell));
          return columns[i]?.right ? space + cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
    .concat('\n');
}

/** Renders names and values, one per line, for a single object. */
export function renderFields(
  fields: readonly (readonly [name: string, value: Cell])[],
  paint: Paint,
): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 1;
  return fields
    .map(([name, value]) => `${paint.bold(`${name}:`.padEnd(width))}  ${renderCell(value)}\n`)
    .join('');
}
