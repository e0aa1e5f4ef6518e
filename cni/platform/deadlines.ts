import { IpamError } from '../../ipam/model/errors.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { CniError } from '../protocol/errors.ts';

/**
 * Whether the error means that its server does not answer. A later request would wait as long, and
 * a request without an answer is neither done nor refused.
 */
function isSilence(error: unknown): error is Error {
  if (error instanceof OvsdbError) return error.code === 'timeout' || error.code === 'unreachable';
  return error instanceof IpamError && error.code === 'store-unreachable';
}

/**
 * The deadlines of one call, or of one reconcile, by the monotonic clock. Each use of a server has
 * a deadline of its own, and all of them end with the call's. A server that did not answer within
 * its deadline is not asked again: however many things a call does with it, the call waits once.
 */
export class Deadlines {
  readonly #monotonic: () => number;
  #expiresAt: number;
  /** The error of each server that had its full deadline and did not answer. */
  readonly #silent: Map<string, Error>;
  /** The error of each server that did not answer within less: see {@link atMost}. */
  readonly #hurried: Map<string, Error>;

  /** @param withinMs deadline of the whole call, in milliseconds from now; absent: none */
  constructor(
    monotonic: () => number,
    withinMs = Infinity,
    silent = new Map<string, Error>(),
    hurried: ReadonlyMap<string, Error> = new Map(),
  ) {
    this.#monotonic = monotonic;
    this.#expiresAt = monotonic() + withinMs;
    this.#silent = silent;
    this.#hurried = new Map(hurried);
  }

  /**
   * Runs the work with a server. Throws the earlier error if the server did not answer before.
   * @param server identifies the server
   * @param withinMs deadline of this use, in milliseconds
   * @param work receives when this use must be over, and when the call must be, in milliseconds of
   *   the monotonic clock. Work whose every request has a deadline may go on until the call's end
   * @throws CniError 11 when the call's own deadline has passed
   */
  async ask<T>(
    server: string,
    withinMs: number,
    work: (expiresAt: number, callExpiresAt: number) => Promise<T>,
  ): Promise<T> {
    const earlier = this.#silent.get(server) ?? this.#hurried.get(server);
    if (earlier) throw earlier;
    const now = this.#monotonic();
    if (now >= this.#expiresAt)
      throw new CniError('try-again-later', `the call took too long: ${server} was not asked any more`);
    const own = now + withinMs;
    try {
      return await work(Math.min(own, this.#expiresAt), this.#expiresAt);
    } catch (error) {
      if (isSilence(error)) {
        const hadItsTime = own <= this.#expiresAt && this.#monotonic() < this.#expiresAt;
        (hadItsTime ? this.#silent : this.#hurried).set(server, error);
      }
      throw error;
    }
  }

  /** Whether a server did not answer to this call. */
  isSilent(server: string): boolean {
    return this.#silent.has(server) || this.#hurried.has(server);
  }

  /** Whether the deadline of the whole call has passed. */
  get passed(): boolean {
    return this.#monotonic() >= this.#expiresAt;
  }

  /**
   * Returns deadlines for a part of the call, which ends earlier. A server that does not answer
   * within a shorter time than its own deadline gets that deadline in the rest of the call.
   */
  atMost(withinMs: number): Deadlines {
    const leftMs = Math.max(0, this.#expiresAt - this.#monotonic());
    return new Deadlines(this.#monotonic, Math.min(withinMs, leftMs), this.#silent, this.#hurried);
  }

  /** Gives the call more time: a failed ADD must undo what it did. */
  extend(ms: number): void {
    this.#expiresAt = Math.max(this.#expiresAt, this.#monotonic() + ms);
  }

  /** Runs work that has a deadline of its own, and does not count its time. */
  async exclude<T>(work: () => Promise<T>): Promise<T> {
    const began = this.#monotonic();
    try {
      return await work();
    } finally {
      this.#expiresAt += this.#monotonic() - began;
    }
  }
}
