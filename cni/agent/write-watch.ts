import { every, type Effects, type Timer } from '../../ipam/model/effects.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { checkWritable, keysOfNode } from '../../ipam/node/writable.ts';
import type { Store } from '../../ipam/store/store.ts';

/** How long a write proves that etcd takes writes, in milliseconds. Then etcd is asked. */
const PROVEN_FOR_MS = 60_000;
/** How often etcd is asked while it refuses writes, in milliseconds. */
const REFUSED_EVERY_MS = 10_000;

export interface WriteWatchParts {
  readonly store: Pick<Store, 'commit'>;
  readonly effects: Pick<Effects, 'monotonic' | 'random' | 'schedule'>;
  /** Receives why etcd refuses writes; undefined after one that it took. */
  readonly tell: (refusal: IpamError | undefined) => void;
}

/**
 * Knows whether etcd takes writes, which reads do not show: an etcd that is full answers them. Each
 * write of a call tells it. It asks etcd itself only while no call writes, so that neither STATUS
 * nor `/healthz` costs etcd anything.
 */
export class WriteWatch {
  readonly #parts: WriteWatchParts;
  readonly #nodes = new Set<string>();
  readonly #timer: Timer;
  #refusal: IpamError | undefined;
  #provenUntil = -Infinity;
  #askAt = -Infinity;
  #isAsking = false;

  constructor(parts: WriteWatchParts) {
    this.#parts = parts;
    this.#timer = every(parts.effects, REFUSED_EVERY_MS, () => void this.#look());
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** From now on asks etcd for this node too. */
  lookAfter(node: string): void {
    this.#nodes.add(node);
  }

  /** Receives the outcome of a write: undefined for success, else the error it rejected with. */
  told(error: unknown): void {
    if (error === undefined) this.#proven(this.#refusal?.code === 'store-read-only');
    else if (isRefusal(error, 'store-read-only')) this.#refused(error);
  }

  /**
   * Asks etcd only where nothing is known, as after a start.
   * @throws IpamError `store-…` when etcd does not take writes of this node
   */
  async check(node: string): Promise<void> {
    this.lookAfter(node);
    if (this.#refusal) throw this.#refusal;
    // The regular question may be late by as much: an ADD in between reports its own failure.
    if (this.#parts.effects.monotonic() > this.#provenUntil + PROVEN_FOR_MS) await this.#ask([node]);
  }

  async #look(): Promise<void> {
    const isEarly = this.#parts.effects.monotonic() < this.#askAt;
    if (isEarly || this.#isAsking || this.#nodes.size === 0) return;
    this.#isAsking = true;
    // An etcd that does not answer is told of by every other request.
    await this.#ask([...this.#nodes]).catch(() => undefined);
    this.#isAsking = false;
  }

  async #ask(nodes: readonly string[]): Promise<void> {
    const { store, effects } = this.#parts;
    this.#askAt = effects.monotonic() + PROVEN_FOR_MS;
    try {
      await checkWritable(store, nodes.flatMap(keysOfNode));
      this.#proven(true);
    } catch (error) {
      if (isRefusal(error, 'store-read-only', 'store-denied', 'store-failed')) this.#refused(error);
      throw error;
    }
  }

  /** @param ends whether it proves a refusal ended: a write of other keys does not */
  #proven(ends: boolean): void {
    const { effects, tell } = this.#parts;
    if (ends) this.#refusal = undefined;
    this.#provenUntil = effects.monotonic() + PROVEN_FOR_MS;
    if (this.#refusal) return;
    // Agents that began together must not ask together for ever.
    this.#askAt = this.#provenUntil + effects.random() * REFUSED_EVERY_MS;
    tell(undefined);
  }

  #refused(error: IpamError): void {
    this.#refusal = error;
    this.#askAt = -Infinity;
    this.#parts.tell(error);
  }
}

const isRefusal = (error: unknown, ...codes: readonly string[]): error is IpamError =>
  error instanceof IpamError && codes.includes(error.code);
