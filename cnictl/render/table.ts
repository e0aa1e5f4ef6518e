import { renderCell, type Cell } from './cell.ts';
import { widthOf, type Paint } from './paint.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Cell;
  /** Aligns to the right, for numbers. */
  readonly right?: boolean;
  /**
   * How soon a narrow terminal does without it: the highest goes first. Absent: it always stays.
   * `-o wide`, and what is no terminal, have all of them.
   */
  readonly spare?: number;
  /** Only for `-o wide`. */
  readonly wide?: boolean;
  /** What `--sort-by` compares, where that is not the text. */
  readonly sort?: (row: Row) => number | string | bigint;
}

const GAP = 2;

/**
 * Renders aligned columns, two spaces apart. A long value widens its column and is never cut: a
 * terminal that is too narrow has fewer columns.
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
): string {
  return new TableLayout(columns, rows, paint).render(rows);
}

/** A table whose columns are as wide as its first rows need; later rows come line by line. */
export class TableLayout<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #widths: number[];
  readonly #paint: Paint;

  constructor(columns: readonly Column<Row>[], rows: readonly Row[], paint: Paint) {
    const { isWide, headers, width } = paint.layout;
    const known = columns.filter((column) => isWide || !column.wide);
    const widthOfColumn = ({ title, value }: Column<Row>): number =>
      rows.reduce((most, row) => Math.max(most, widthOf(renderCell(value(row)))), headers ? title.length : 0);
    const all = known.map((column) => ({ column, width: widthOfColumn(column) }));
    const kept = width === undefined ? all : fitting(all, width);
    this.#columns = kept.map(({ column }) => column);
    this.#widths = kept.map(({ width: each }) => each);
    this.#paint = paint;
  }

  /** Returns the titles, unless there are to be none, and the rows. */
  render(rows: readonly Row[]): string {
    const titles = this.#columns.map(({ title }) => this.#paint.bold(title));
    return `${this.#paint.layout.headers ? this.#line(titles) : ''}${this.renderRows(rows)}`;
  }

  renderRows(rows: readonly Row[]): string {
    return rows.map((row) => this.#line(this.#columns.map(({ value }) => renderCell(value(row))))).join('');
  }

  #line(cells: readonly string[]): string {
    const text = cells
      .map((cell, i) => {
        const space = ' '.repeat(Math.max(0, (this.#widths[i] ?? 0) - widthOf(cell)));
        return this.#columns[i]?.right ? space + cell : cell + space;
      })
      .join(' '.repeat(GAP))
      .trimEnd();
    return `${text}\n`;
  }
}

interface Measured {
  readonly column: { readonly spare?: number };
  readonly width: number;
}

/** Leaves out what can be spared, until the rest fits or nothing more can be. */
function fitting<Each extends Measured>(columns: readonly Each[], width: number): readonly Each[] {
  const needed = columns.reduce((sum, each) => sum + each.width + GAP, -GAP);
  const most = Math.max(...columns.map(({ column }) => column.spare ?? -Infinity));
  if (needed <= width || most === -Infinity) return columns;
  const last = columns.findLastIndex(({ column }) => column.spare === most);
  return fitting(
    columns.filter((_, i) => i !== last),
    width,
  );
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
