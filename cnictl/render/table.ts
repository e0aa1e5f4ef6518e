import { widthOf, type Paint } from './paint.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
}

/** Aligned columns, two spaces apart. Values are never cut: a long one widens its column. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
): string {
  const titles = columns.map((column) => paint.bold(column.title));
  const lines = [titles, ...rows.map((row) => columns.map((column) => column.value(row)))];
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

/** Names and values below one another, for a single thing. */
export function renderFields(
  fields: readonly (readonly [name: string, value: string])[],
  paint: Paint,
): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 1;
  return fields.map(([name, value]) => `${paint.bold(`${name}:`.padEnd(width))}  ${value}\n`).join('');
}
