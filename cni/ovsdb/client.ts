import type { Socket } from 'node:net';
import { messageOf } from '../../ipam/model/errors.ts';
import { OvsdbError } from './errors.ts';
import { JsonFraming } from './framing.ts';
import type { Condition, Operation, OperationResult, RawRow } from './protocol.ts';
import { openRemote, type TlsFiles } from './remote.ts';
import type { OvsdbSession, RowListener } from './session.ts';
import { UnansweredRequests } from './unanswered.ts';

const DATABASE = 'Open_vSwitch';
export const DEFAULT_DEADLINE_MS = 5_000;

export interface ClientOptions {
  /** Longest wait for the connection and for each answer, in milliseconds. */
  readonly deadlineMs?: number;
  readonly tls?: TlsFiles;
}

/**
 * JSON-RPC client of an OVSDB server (RFC 7047 section 4). Requests may overlap; the server serves
 * them in order.
 *
 * A server that leaves a request unanswered for the deadline is silent: the client gives the
 * connection up, and every request on it fails with `timeout`. It asks an idle connection by `echo`
 * (4.1.11), as Open vSwitch's own clients do (reconnect.c), and answers the server's.
 */
export class OvsdbClient implements OvsdbSession {
  readonly remote: string;
  readonly remainingMs = Infinity;
  readonly #socket: Socket;
  readonly #deadlineMs: number;
  readonly #framing = new JsonFraming();
  readonly #unanswered: UnansweredRequests;
  readonly #monitors = new Map<string, RowListener>();
  readonly #onLost = new Set<(error: OvsdbError) => void>();
  readonly #probe: NodeJS.Timeout;
  #nextId = 0;
  #heard = true;
  #lost: OvsdbError | undefined;

  private constructor(remote: string, socket: Socket, deadlineMs: number) {
    this.remote = remote;
    this.#socket = socket;
    this.#deadlineMs = deadlineMs;
    this.#unanswered = new UnansweredRequests(remote, deadlineMs, () => this.#giveUp());
    this.#probe = setInterval(() => this.#probeIdle(), deadlineMs).unref();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(this.#broken(messageOf(error), error)));
    socket.on('close', () => this.#end(this.#broken('the server closed it')));
  }

  /** @throws OvsdbError `unreachable`, `timeout`, `protocol`: see openRemote */
  static async connect(remote: string, options: ClientOptions = {}): Promise<OvsdbClient> {
    const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    return new OvsdbClient(remote, await openRemote(remote, deadlineMs, options.tls), deadlineMs);
  }

  /**
   * Returns a session on this connection, all of whose requests end by the deadline. A request that
   * does not makes only its caller give up: the server may still answer in time for others.
   * @param expiresAt milliseconds of the monotonic clock (`performance.now()`)
   */
  until(expiresAt: number): OvsdbSession {
    const remainingMs = (): number => Math.max(0, expiresAt - performance.now());
    return {
      get remainingMs() {
        return remainingMs();
      },
      transact: (operations) => this.#transact(operations, remainingMs()),
      monitor: (table, where, columns, listener) =>
        this.#monitor(table, where, columns, listener, remainingMs()),
      onLost: (listener) => this.onLost(listener),
    };
  }

  transact(operations: readonly Operation[]): Promise<OperationResult[]> {
    return this.#transact(operations, Infinity);
  }

  monitor(
    table: string,
    where: readonly Condition[],
    columns: readonly string[],
    listener: RowListener,
  ): Promise<() => void> {
    return this.#monitor(table, where, columns, listener, Infinity);
  }

  onLost(listener: (error: OvsdbError) => void): () => void {
    if (this.#lost) listener(this.#lost);
    else this.#onLost.add(listener);
    return () => void this.#onLost.delete(listener);
  }

  /** The reason why the client takes no more requests. Undefined while the connection holds. */
  get lost(): OvsdbError | undefined {
    return this.#lost;
  }

  close(): void {
    this.#end(new OvsdbError('connection-lost', 'the connection was closed'));
  }

  async #transact(operations: readonly Operation[], withinMs: number): Promise<OperationResult[]> {
    const reply = await this.#request('transact', [DATABASE, ...operations], withinMs);
    const results = reply as (OperationResult | null)[];
    results.forEach((result, index) => {
      if (result?.error !== undefined) throw refusalOf(result, operations, index);
    });
    return results.map((result) => result ?? {});
  }

  async #monitor(
    table: string,
    where: readonly Condition[],
    columns: readonly string[],
    listener: RowListener,
    withinMs: number,
  ): Promise<() => void> {
    const id = `${table}-${++this.#nextId}`;
    this.#monitors.set(id, listener);
    const conditions = { [table]: [{ columns, where }] };
    const end = (): void => {
      this.#monitors.delete(id);
      // The reply does not matter: later updates have no listener any more.
      this.#request('monitor_cancel', [id], Infinity).catch(() => undefined);
    };
    try {
      this.#tell(id, await this.#request('monitor_cond', [DATABASE, id, conditions], withinMs));
      return end;
    } catch (error) {
      // The server may begin the monitor after its caller has given up.
      end();
      throw error;
    }
  }

  async #request(method: string, params: readonly unknown[], withinMs: number): Promise<unknown> {
    if (this.#lost) throw this.#lost;
    if (withinMs <= 0) throw this.#tooLate();
    const id = ++this.#nextId;
    const answer = this.#unanswered.add(id, withinMs);
    this.#socket.write(JSON.stringify({ method, params, id }));
    return await answer;
  }

  #probeIdle(): void {
    const isIdle = !this.#heard && this.#unanswered.size === 0;
    this.#heard = false;
    if (isIdle) this.#request('echo', [], Infinity).catch(() => undefined);
  }

  #receive(chunk: Buffer): void {
    this.#heard = true;
    try {
      for (const text of this.#framing.push(chunk)) this.#handle(JSON.parse(text) as RpcMessage);
    } catch (error) {
      this.#end(this.#broken(messageOf(error), error));
    }
  }

  #handle({ id, method, params = [], result, error }: RpcMessage): void {
    if (method === 'echo') this.#socket.write(JSON.stringify({ id, result: params, error: null }));
    else if (method === 'update2') this.#tell(String(params[0]), params[1]);
    else if (method === undefined && typeof id === 'number') this.#unanswered.answer(id, result, error);
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

  /**
   * Ends the connection to a silent server. What was sent may still be carried out: RFC 7047 knows
   * no way to take a request back. A later request on it could only wait behind it.
   */
  #giveUp(): void {
    this.#end(this.#unanswered.timeout(this.#deadlineMs));
  }

  #tooLate(): OvsdbError {
    const what = `the deadline passed before Open vSwitch's database at ${this.remote} could be asked`;
    return new OvsdbError('timeout', what);
  }

  #broken(reason: string, cause?: unknown): OvsdbError {
    const what = `the connection to Open vSwitch's database at ${this.remote} was lost: ${reason}`;
    return new OvsdbError('connection-lost', what, { cause });
  }

  /** Ends the connection, with the first reason only. */
  #end(reason: OvsdbError): void {
    if (this.#lost) return;
    this.#lost = reason;
    clearInterval(this.#probe);
    this.#socket.destroy();
    this.#unanswered.failAll(reason);
    for (const listener of this.#onLost) listener(reason);
    this.#onLost.clear();
  }
}

/** Returns the error of a refused transaction, which names the operation that failed. */
function refusalOf(
  { error = '', details }: OperationResult,
  operations: readonly Operation[],
  index: number,
): OvsdbError {
  // One result more than operations means that the commit itself failed.
  const where =
    index < operations.length ? `operation ${index} (${operations[index]?.op ?? ''})` : 'the commit';
  const more = details === undefined ? '' : `: ${details}`;
  const message = `Open vSwitch's database refused ${where}: ${error}${more}`;
  return new OvsdbError(error, message, { operation: index, refused: true });
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
