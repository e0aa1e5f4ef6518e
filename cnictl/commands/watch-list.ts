import { isTold } from '../../ipam/events/known.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';
import type { OpenEvents } from '../context/world.ts';
import { painted } from '../render/cell.ts';
import { printable } from '../render/printable.ts';
import { TableLayout, type Column } from '../render/table.ts';
import { tellBeside, type List, type Listed, type ListOptions } from './list.ts';

/** As kubectl names them. */
type Change = 'ADDED' | 'MODIFIED' | 'DELETED';

interface Changed<Row> {
  readonly change: Change;
  readonly row: Row;
}

/**
 * After a change the list waits so long for more: a pod is several changes. In milliseconds.
 */
const TOGETHER_MS = 100;
/** A list of half a million addresses takes seconds. It is read at most half of the time. */
const LONGEST_PAUSE_MS = 30_000;
const RETRY_MS = 1_000;

/**
 * Prints the list, and then each row that changes, until the signal. etcd's watch says when
 * something has changed; the list is read again then, so that nothing is missed over lost
 * connections and compactions. What comes and goes between two readings is not told: `cnictl
 * events` does that.
 */
export async function watchList<Row>(
  context: Context,
  options: ListOptions,
  list: List<Row>,
  sorted: (listed: Listed<Row>) => readonly Row[],
): Promise<number> {
  const signal = context.world.untilStopped();
  const open = await context.world.openEvents(etcdSettings(context.settings.etcd));
  try {
    const printing = new Printing(context, options, list);
    const changes = new Changes(context, open, signal);
    // The watch begins before the first reading, so that no change falls between them.
    await changes.begin();
    let listed = await list.gather();
    tellBeside(context, listed);
    for (;;) {
      printing.show(sorted(listed));
      await context.world.flushed();
      if (!(await changes.next())) return 0;
      await context.world.pause(TOGETHER_MS, signal);
      const before = context.world.monotonic();
      listed = (await gatherAgain(list, changes)) ?? listed;
      const took = context.world.monotonic() - before;
      await context.world.pause(Math.min(took, LONGEST_PAUSE_MS), signal);
    }
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  } finally {
    open.close();
  }
}

/** Reads the list. Undefined while etcd does not answer: it is read again then. */
async function gatherAgain<Row>(list: List<Row>, changes: Changes): Promise<Listed<Row> | undefined> {
  try {
    return await list.gather();
  } catch (error) {
    if (!(error instanceof IpamError) || !error.code.startsWith('store-')) throw error;
    changes.readLater();
    return undefined;
  }
}

/** Prints what differs from what was printed before. */
class Printing<Row> {
  readonly #context: Context;
  readonly #options: ListOptions;
  readonly #list: List<Row>;
  #known = new Map<string, { readonly row: Row; readonly json: string }>();
  #layout: TableLayout<Changed<Row>> | undefined;

  constructor(context: Context, options: ListOptions, list: List<Row>) {
    this.#context = context;
    this.#options = options;
    this.#list = list;
  }

  show(rows: readonly Row[]): void {
    const { name, key = name, json, compared = json } = this.#list;
    const now = new Map(rows.map((row) => [key(row), { row, json: JSON.stringify(compared(row)) }]));
    const changed = rows.flatMap((row): Changed<Row>[] => {
      const before = this.#known.get(key(row));
      if (!before) return [{ change: 'ADDED', row }];
      return before.json === now.get(key(row))?.json ? [] : [{ change: 'MODIFIED', row }];
    });
    const gone = [...this.#known]
      .filter(([each]) => !now.has(each))
      .map(([, { row }]): Changed<Row> => ({ change: 'DELETED', row }));
    this.#known = now;
    this.#print([...changed, ...gone]);
  }

  #print(changed: readonly Changed<Row>[]): void {
    const { world, format } = this.#context;
    const isTable = format.kind === 'table' || format.kind === 'wide';
    const shown = changed.filter(({ row }) => !this.#context.printsTable || !this.#list.isOnlyData?.(row));
    if (isTable) world.stdout(this.#tableOf(shown));
    else world.stdout(shown.map((each) => this.#textOf(each)).join(''));
  }

  #textOf({ change, row }: Changed<Row>): string {
    const object = this.#list.json(row);
    const data = this.#options.outputWatchEvents ? { type: change, object } : object;
    return this.#context.textOfNext(data, () => `${printable(this.#list.name(row))}\n`);
  }

  /** The first rows set the widths. The titles wait for them, too. */
  #tableOf(changed: readonly Changed<Row>[]): string {
    if (changed.length === 0) return '';
    if (this.#layout) return this.#layout.renderRows(changed);
    this.#layout = new TableLayout(this.#columns(changed), changed, this.#context.paint);
    return this.#layout.render(changed);
  }

  #columns(changed: readonly Changed<Row>[]): Column<Changed<Row>>[] {
    const { paint } = this.#context;
    const columns = this.#list
      .columns(changed.map(({ row }) => row))
      .map(({ value, sort: _, ...column }) => ({
        ...column,
        value: ({ row }: Changed<Row>) => value(row),
      }));
    if (!this.#options.outputWatchEvents) return columns;
    const colours = { ADDED: paint.green, MODIFIED: paint.yellow, DELETED: paint.red };
    const width = 'MODIFIED'.length;
    const value = ({ change }: Changed<Row>) => painted(colours[change](change.padEnd(width)));
    return [{ title: 'EVENT', value }, ...columns];
  }
}

/** Reads the signal again: it may have been aborted meanwhile. */
const isStopped = (signal: AbortSignal): boolean => signal.aborted;

/** Waits for changes of what cnictl shows, over restarts of etcd. */
class Changes {
  readonly #context: Context;
  readonly #open: OpenEvents;
  readonly #signal: AbortSignal;
  #dirty = false;
  #wake: () => void = () => undefined;

  constructor(context: Context, open: OpenEvents, signal: AbortSignal) {
    this.#context = context;
    this.#open = open;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  /** @throws IpamError `store-…` when etcd cannot be reached at the beginning */
  async begin(): Promise<void> {
    const newest = await this.#open.watches.newest();
    void this.#follow(newest);
  }

  /** Resolves at the next change; with false at the signal. */
  async next(): Promise<boolean> {
    while (!this.#dirty && !this.#signal.aborted)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#dirty = false;
    return !this.#signal.aborted;
  }

  /** A reading failed. */
  readLater(): void {
    this.#dirty = true;
  }

  async #follow(newest: number): Promise<void> {
    let from = newest + 1;
    let failed = false;
    while (!this.#signal.aborted) {
      try {
        for await (const news of this.#open.watches.watch(from, this.#signal)) {
          if (failed) this.#context.warn('following etcd again');
          failed = false;
          for (const { revision, changes } of news.revisions) {
            from = revision + 1;
            if (changes.some(({ key }) => isTold(key))) this.#change();
          }
        }
      } catch (error) {
        if (isStopped(this.#signal)) return;
        if (!failed) this.#context.warn(`etcd cannot be followed, trying again: ${messageOf(error)}`);
        failed = true;
        await this.#context.world.pause(RETRY_MS, this.#signal);
        from = await this.#again(from);
      }
    }
  }

  /** Whatever was missed, the next reading has it. */
  async #again(from: number): Promise<number> {
    try {
      const newest = await this.#open.watches.newest();
      this.#change();
      return newest + 1;
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
      return from;
    }
  }

  #change(): void {
    this.#dirty = true;
    this.#wake();
  }
}
