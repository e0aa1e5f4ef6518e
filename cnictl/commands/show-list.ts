import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { jsonPathOf } from '../context/format.ts';
import { printable } from '../render/printable.ts';
import { orderBy, type SortKey } from '../render/sort.ts';
import { renderTable, type Column } from '../render/table.ts';

/** The options of `asList` in cnictl/program/list.ts. */
export interface ListOptions {
  readonly sortBy?: string;
  readonly watch?: boolean;
  readonly outputWatchEvents?: boolean;
}

/** What a list shows, and how. */
export interface List<Row> {
  /** Reads the rows, as of one moment. */
  readonly gather: () => Promise<Listed<Row>>;
  readonly columns: (rows: readonly Row[]) => readonly Column<Row>[];
  /** Scripts rely on its keys. A change of it is a change for `--watch`. */
  readonly json: (row: Row) => object;
  /** For `-o name`: what other commands take. */
  readonly name: (row: Row) => string;
  /** Tells one row from another; default: its name. */
  readonly key?: (row: Row) => string;
  /** Rows that only JSON and YAML have. */
  readonly isOnlyData?: (row: Row) => boolean;
  /** What stands below a table, without `--watch`. */
  readonly below?: (rows: readonly Row[]) => string;
  /** What `--watch` compares, where parts of the JSON change all the time. */
  readonly compared?: (row: Row) => unknown;
}

export interface Listed<Row> {
  readonly rows: readonly Row[];
  readonly unreadable: readonly UnreadableRecord[];
  /** Says in place of an empty table why there is nothing. */
  readonly none: () => string;
  /** More to tell on stderr, after the list. */
  readonly notes?: readonly string[];
}

/**
 * Prints a list in any format, sorted as requested, and with `--watch` what becomes of it.
 * @throws CommandError for a column that it does not have
 */
export async function showList<Row>(
  context: Context,
  options: ListOptions,
  list: List<Row>,
): Promise<number> {
  const key = options.sortBy === undefined ? undefined : sortKeyOf(options.sortBy);
  if (options.watch) {
    const { watchList } = await import('./watch-list.ts');
    return await watchList(context, options, list, (listed) => sorted(list, listed, key));
  }
  if (options.outputWatchEvents) throw new CommandError('--output-watch-events: expected --watch with it');
  const listed = await list.gather();
  printList(context, list, listed, sorted(list, listed, key));
  tellBeside(context, listed);
  return 0;
}

/** What is told once, on stderr, after the list. */
export function tellBeside<Row>(context: Context, { unreadable, notes = [] }: Listed<Row>): void {
  for (const note of notes) context.warn(note);
  context.warnUnreadable(unreadable);
}

interface Key {
  readonly key: SortKey;
  readonly text: string;
  readonly backwards: boolean;
}

function sortKeyOf(given: string): Key {
  const backwards = given.startsWith('-');
  const text = backwards ? given.slice(1) : given;
  const isPath = /^[.{[$]/.test(text);
  return { text, backwards, key: isPath ? { path: jsonPathOf(text, '--sort-by') } : { title: text } };
}

function sorted<Row>(list: List<Row>, { rows }: Listed<Row>, by: Key | undefined): readonly Row[] {
  if (!by) return rows;
  const order = orderBy(by.key, list.columns(rows), list.json);
  if (typeof order !== 'function')
    throw new CommandError(
      `--sort-by '${by.text}': expected one of ${order.titles.join(', ')}, or a JSONPath such as .name`,
      order.hint,
    );
  const inOrder = [...rows].sort(order);
  return by.backwards ? inOrder.reverse() : inOrder;
}

function printList<Row>(context: Context, list: List<Row>, listed: Listed<Row>, rows: readonly Row[]): void {
  const shown = rows.filter((row) => !list.isOnlyData?.(row));
  if (context.format.kind === 'name') {
    context.world.stdout(shown.map((row) => `${printable(list.name(row))}\n`).join(''));
    return;
  }
  context.print(rows.map(list.json), () => {
    if (shown.length > 0)
      return `${renderTable(list.columns(shown), shown, context.paint)}${list.below?.(shown) ?? ''}`;
    // A script that reads lines without titles must not take this for one.
    if (context.paint.layout.headers) return listed.none();
    context.note(listed.none().trimEnd());
    return '';
  });
}
