import type { OvsdbError } from './errors.ts';
import type { Condition, Operation, OperationResult, RawRow } from './protocol.ts';

/** Takes the changed columns of a row, or undefined when the row was deleted. */
export type RowListener = (row: RawRow | undefined, uuid: string) => void;

/** Requests on a connection to OVSDB. All of them end by one deadline, if the caller set one. */
export interface OvsdbSession {
  /** Milliseconds that are left until the deadline; Infinity without one. */
  readonly remainingMs: number;

  /**
   * Carries out all operations or none (RFC 7047 section 4.1.3).
   * @returns one result for each operation
   * @throws OvsdbError with the server's error string, which says that nothing was carried out; or
   *   `timeout`, `connection-lost`, `protocol`, after which nobody knows whether it was
   */
  transact(operations: readonly Operation[]): Promise<OperationResult[]>;

  /**
   * Reports the rows that match, then every change of them: monitor_cond of ovsdb-server(7) section
   * 4.1.12. Unlike RFC 7047's monitor, the server need not send the whole table.
   * @returns a function that ends the monitor (RFC 7047 section 4.1.7)
   * @throws OvsdbError `timeout`, `connection-lost`, `protocol`
   */
  monitor(
    table: string,
    where: readonly Condition[],
    columns: readonly string[],
    listener: RowListener,
  ): Promise<() => void>;

  /**
   * Calls the listener once when the connection is lost, at once if it is lost already.
   * @returns a function that ends this
   */
  onLost(listener: (error: OvsdbError) => void): () => void;
}
