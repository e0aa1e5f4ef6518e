import type { Socket } from 'node:net';
import { messageOf } from '../../ipam/model/errors.ts';
import { OvsdbError } from './errors.ts';
import { JsonFraming } from './framing.ts';
import type { Condition, Operation, OperationResult, RawRow } from './protocol.ts';
import { openRemote, type TlsFiles } from './remote.ts';

const DATABASE = 'Open_vSwitch';
export const DEFAULT_DEADLINE_MS = 5_000;

export interface ClientOptions {
  /** Longest wait for the connection and for each answer, in milliseconds. */
  readonly deadlineMs?: number;
  readonly tls?: TlsFiles;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: OvsdbError) => void;
  readonly timer: NodeJS.Timeout;
}

/** Takes the changed columns of a row, or undefined when the row was deleted. */
export type RowListener = (row: RawRow | undefined, uuid: string) => void;

/**
 * JSON-RPC client of an OVSDB server (RFC 7047 section 4). Requests may overlap; the server serves
 * them in order. The client answers `echo` (4.1.11), so that the server keeps the connection.
 */
export class OvsdbClient {
  readonly remote: string;
  readonly #socket: Socket;
  readonly #deadlineMs: number;
  readonly #framing = new JsonFraming();
  readonly #waiting = new Map<number, Waiting>();
  readonly #monitors = new Map<string, RowListener>();
  #nextId = 0;
  #lost: OvsdbError | undefined;

  private constructor(remote: string, socket: Socket, deadlineMs: number) {
    this.remote = remote;
    this.#socket = socket;
    this.#deadlineMs = deadlineMs;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#lose(error.message, error));
    socket.on('close', () => this.#lose('the server closed it'));
  }

  /** @throws OvsdbError `unreachable`, `protocol`: see openRemote */
  static async connect(remote: string, options: ClientOptions = {}): Promise<OvsdbClient> {
    const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    return new OvsdbClient(remote, await openRemote(remote, deadlineMs, options.tls), deadlineMs);
  }

  /**
   * Carries out all operations or none (section 4.1.3).
   * @returns one result for each operation
   * @throws OvsdbError with the server's error string, `timeout`, `connection-lost`, `protocol`
   */
  async transact(operations: readonly Operation[]): Promise<OperationResult[]> {
    const results = (await this.#request('transact', [
      DATABASE,
      ...operations,
    ])) as (OperationResult | null)[];
    results.forEach((result, index) => {
      if (result?.error === undefined) return;
      // One result more than operations means that the commit itself failed.
      const where =
        index < operations.length ? `operation ${index} (${operations[index]?.op ?? ''})` : 'the commit';
      const details = result.details === undefined ? '' : `: ${result.details}`;
      throw new OvsdbError(
        result.error,
        `Open vSwitch's database refused ${where}: ${result.error}${details}`,
        {
          operation: index,
        },
      );
    });
    return results.map((result) => result ?? {});
  }

  /**
   * Reports the rows that match, then every change of them: monitor_cond of ovsdb-server(7) section
   * 4.1.12. Unlike RFC 7047's monitor, the server need not send the whole table.
   * @returns a function that ends the monitor (RFC 7047 section 4.1.7)
   */
  async monitor(
    table: string,
    where: readonly Condition[],
    columns: readonly string[],
    listener: RowListener,
  ): Promise<() => void> {
    const id = `${table}-${++this.#nextId}`;
    this.#monitors.set(id, listener);
    const initial = await this.#request('monitor_cond', [DATABASE, id, { [table]: [{ columns, where }] }]);
    this.#tell(id, initial);
    return () => {
      this.#monitors.delete(id);
      // The reply does not matter: later updates have no listener any more.
      this.#request('monitor_cancel', [id]).catch(() => undefined);
    };
  }

  /** The reason why the client takes no more requests. Undefined while the connection holds. */
  get lost(): OvsdbError | undefined {
    return this.#lost;
  }

  close(): void {
    this.#lost ??= new OvsdbError('connection-lost', 'the connection was closed');
    this.#socket.destroy();
  }

  #request(method: string, params: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      const id = ++this.#nextId;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(
          new OvsdbError(
            'timeout',
            `Open vSwitch's database at ${this.remote} did not answer within ${this.#deadlineMs} ms`,
          ),
        );
      }, this.#deadlineMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.write(JSON.stringify({ method, params, id }));
    });
  }

  #receive(chunk: Buffer): void {
    try {
      for (const text of this.#framing.push(chunk)) this.#handle(JSON.parse(text) as RpcMessage);
    } catch (error) {
      this.#lose(messageOf(error), error);
      this.#socket.destroy();
    }
  }

  #handle({ id, method, params = [], result, error }: RpcMessage): void {
    if (method === 'echo') {
      this.#socket.write(JSON.stringify({ id, result: params, error: null }));
    } else if (method === 'update2') {
      this.#tell(String(params[0]), params[1]);
    } else if (method === undefined && typeof id === 'number') {
      const waiting = this.#waiting.get(id);
      if (!waiting) return;
      this.#waiting.delete(id);
      clearTimeout(waiting.timer);
      if (error === null || error === undefined) waiting.resolve(result);
      else
        waiting.reject(
          new OvsdbError('protocol', `Open vSwitch's database refused a request: ${JSON.stringify(error)}`),
        );
    }
  }

  /**
   * Passes on table updates of version 2:
   * { table: { uuid: { initial | insert | modify: row, or delete: null } } }.
   */
  #tell(monitor: string, updates: unknown): void {
    const listener = this.#monitors.get(monitor);
    if (!listener) return;
    for (const rows of Object.values(updates as Record<string, Record<string, RowUpdate>>)) {
      for (const [uuid, update] of Object.entries(rows))
        listener(update.initial ?? update.insert ?? update.modify, uuid);
    }
  }

  #lose(reason: string, cause?: unknown): void {
    this.#lost ??= new OvsdbError(
      'connection-lost',
      `the connection to Open vSwitch's database at ${this.remote} was lost: ${reason}`,
      {
        cause,
      },
    );
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#lost);
    }
    this.#waiting.clear();
  }
}

interface RpcMessage {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: readonly unknown[];
  readonly result?: unknown;
  readonly error?: unknown;
}

interface RowUpdate {
  readonly initial?: RawRow;
  readonly insert?: RawRow;
  readonly modify?: RawRow;
}
