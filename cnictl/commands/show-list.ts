import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { jsonPathOf } from '../context/format.ts';
import { printable } from '../render/printable.ts';
import { orderBy, type SortKey } from '../render/sort.ts';
import { renderTable } from '../render/table.ts';
import { tellBeside, type List, type Listed, type ListOptions } from './list.ts';

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
