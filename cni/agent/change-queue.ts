import type { Effects } from '../../ipam/model/effects.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import type { Operation } from '../ovsdb/protocol.ts';

/** Makes the operations of one change. @param label distinguishes its rows from other changes' */
type Operations = (label: string) => readonly Operation[];

/** One queued change: a few operations that belong together. */
interface Change {
  readonly operations: Operations;
  /** Milliseconds of the monotonic clock. */
  readonly expiresAt: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Most changes that wait at once: a port added and a port removed for each of the 250 pods that a
 * node is planned for, and as much again.
 */
const MAX_QUEUED = 1_000;

/**
 * Changes of concurrent callers share one transaction: vswitchd's work for each transaction grows
 * with the ports of the bridge. Changes that arrive during a transaction share the next one.
 */
export class ChangeQueue {
  readonly #transact: (operations: readonly Operation[]) => Promise<unknown>;
  readonly #monotonic: () => number;
  readonly #queued: Change[] = [];
  #committing = false;

  /** @param transact sends a transaction; ends within the connection's own deadline */
  constructor(
    transact: (operations: readonly Operation[]) => Promise<unknown>,
    { monotonic }: Pick<Effects, 'monotonic'>,
  ) {
    this.#transact = transact;
    this.#monotonic = monotonic;
  }

  /**
   * Resolves when the change is committed.
   * @param expiresAt a change that still waits then is not sent any more
   * @throws OvsdbError as `transact`; `timeout` for a change that was not sent; `busy`
   */
  commit(operations: Operations, expiresAt: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#queued.length >= MAX_QUEUED) {
        const what = `${MAX_QUEUED} changes wait for Open vSwitch's database already: try again later`;
        reject(new OvsdbError('busy', what));
        return;
      }
      this.#queued.push({ operations, expiresAt, resolve, reject });
      if (!this.#committing) void this.#commitAll();
    });
  }

  async #commitAll(): Promise<void> {
    this.#committing = true;
    // Callers in the same turn of the event loop share the first transaction.
    await Promise.resolve();
    while (this.#queued.length > 0) await this.#commitTogether(this.#queued.splice(0));
    this.#committing = false;
  }

  async #commitTogether(changes: readonly Change[]): Promise<void> {
    const due = changes.filter((change) => this.#isDue(change));
    if (due.length === 0) return;
    const error = await this.#send(due);
    if (error === undefined || due.length === 1 || !isRefusal(error)) settle(due, error);
    else await this.#commitOneByOne(due);
  }

  /**
   * One bad change makes the database refuse all. Separate transactions show which one it is. When
   * one is not answered, the rest is not sent.
   */
  async #commitOneByOne(changes: readonly Change[]): Promise<void> {
    let silence: unknown;
    for (const change of changes) {
      if (!this.#isDue(change)) continue;
      const error = silence ?? (await this.#send([change]));
      if (error !== undefined && !isRefusal(error)) silence = error;
      settle([change], error);
    }
  }

  /** Returns the error, or undefined when the changes are committed. */
  async #send(changes: readonly Change[]): Promise<unknown> {
    try {
      await this.#transact(changes.flatMap(({ operations }, i) => operations(`${i}`)));
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Rejects a change whose caller has given up: its port must not appear afterwards. */
  #isDue({ expiresAt, reject }: Change): boolean {
    if (this.#monotonic() < expiresAt) return true;
    reject(new OvsdbError('timeout', `the deadline passed before Open vSwitch's database could be asked`));
    return false;
  }
}

/** @param error undefined for changes that are committed */
function settle(changes: readonly Change[], error: unknown): void {
  for (const { resolve, reject } of changes) {
    if (error === undefined) resolve();
    else reject(error);
  }
}

/**
 * Whether the database answered that it carried out nothing. Without an answer it may have carried
 * out all of it, and each further transaction would wait as long.
 */
function isRefusal(error: unknown): boolean {
  return error instanceof OvsdbError && error.refused;
}
