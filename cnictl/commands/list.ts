import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import type { Context } from '../context/context.ts';
import type { Column } from '../render/table.ts';

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

/** What is told once, on stderr, after the list. */
export function tellBeside<Row>(context: Context, { unreadable, notes = [] }: Listed<Row>): void {
  for (const note of notes) context.warn(note);
  context.warnUnreadable(unreadable);
}
