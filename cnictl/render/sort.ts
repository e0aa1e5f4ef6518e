import { didYouMean } from '../../ipam/model/nearest.ts';
import type { JsonPath } from './jsonpath.ts';
import { firstOf } from './jsonpath-evaluate.ts';
import { renderCell } from './cell.ts';
import { plainText } from './paint.ts';
import type { Column } from './table.ts';

export type Order<Row> = (a: Row, b: Row) => number;

/** What `--sort-by` names: a column, or a place in the JSON. */
export type SortKey = { readonly title: string } | { readonly path: JsonPath };

type Comparable = string | number | bigint | undefined;

let collator: Intl.Collator | undefined;

/**
 * Numbers in a text count by their value: node-2 comes before node-10. Making a collator takes 20
 * ms, which every start of cnictl would pay.
 */
const natural = (a: string, b: string): number =>
  (collator ??= new Intl.Collator('en', { numeric: true })).compare(a, b);

function compare(a: Comparable, b: Comparable): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  if (typeof a === 'string' || typeof b === 'string') return natural(String(a), String(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Returns the order by a column, or by what a JSONPath finds in the JSON of each row. Rows without
 * it come last.
 * @returns undefined with a hint for a title that no column has
 */
export function orderBy<Row>(
  key: SortKey,
  columns: readonly Column<Row>[],
  json: (row: Row) => object,
): Order<Row> | { readonly titles: readonly string[]; readonly hint: string } {
  if ('path' in key) return (a, b) => compare(foundIn(key.path, json(a)), foundIn(key.path, json(b)));
  const column = columns.find(({ title }) => title.toLowerCase() === key.title.toLowerCase());
  if (column) return (a, b) => compare(valueOf(column, a), valueOf(column, b));
  const titles = columns.map(({ title }) => title.toLowerCase());
  return { titles, hint: didYouMean(key.title, titles).trim() };
}

function foundIn(path: JsonPath, json: object): Comparable {
  const found = firstOf(path, json);
  if (found === null || found === undefined) return undefined;
  return typeof found === 'number' ? found : typeof found === 'string' ? found : JSON.stringify(found);
}

function valueOf<Row>({ sort, value }: Column<Row>, row: Row): Comparable {
  const given = sort ? sort(row) : plainText(renderCell(value(row)));
  return given === '-' ? undefined : given;
}
