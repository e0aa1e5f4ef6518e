import { OvsdbError } from './errors.ts';

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: OvsdbError) => void;
  readonly timers: readonly NodeJS.Timeout[];
}

/** Longest delay of a timer in Node, in milliseconds. A longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * The requests of one connection that the server has not answered. Each has two limits: its caller
 * waits until the caller's own deadline; a server that has not answered for `silentAfterMs` counts
 * as silent.
 */
export class UnansweredRequests {
  readonly #remote: string;
  readonly #silentAfterMs: number;
  readonly #onSilence: () => void;
  readonly #waiting = new Map<number, Waiting>();

  /** @param onSilence called when a request has been unanswered for `silentAfterMs` */
  constructor(remote: string, silentAfterMs: number, onSilence: () => void) {
    this.#remote = remote;
    this.#silentAfterMs = silentAfterMs;
    this.#onSilence = onSilence;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves with the server's answer to request `id`.
   * @param withinMs the caller's own limit; the request stays unanswered after it
   * @throws OvsdbError `timeout` at the caller's limit; `protocol` when the server refuses it
   */
  add(id: number, withinMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(this.timeout(withinMs));
      const silent = (): void => {
        // This process may have been stopped itself: it first reads what arrived meanwhile.
        setImmediate(() => {
          if (this.#waiting.has(id)) this.#onSilence();
        });
      };
      const timers = [
        setTimeout(silent, this.#silentAfterMs),
        ...(withinMs < this.#silentAfterMs ? [setTimeout(late, Math.min(withinMs, LONGEST_MS))] : []),
      ];
      this.#waiting.set(id, { resolve, reject, timers });
    });
  }

  /** Ends a request with the server's answer. Ignores an unknown one. */
  answer(id: number, result: unknown, error: unknown): void {
    const waiting = this.#take(id);
    if (error === null || error === undefined) waiting?.resolve(result);
    else waiting?.reject(refusal(error));
  }

  /** Ends every request with the error. */
  failAll(error: OvsdbError): void {
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(error);
  }

  timeout(withinMs: number): OvsdbError {
    return new OvsdbError(
      'timeout',
      `Open vSwitch's database at ${this.#remote} did not answer within ${Math.round(withinMs)} ms`,
    );
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.timers.forEach((timer) => clearTimeout(timer));
    return waiting;
  }
}

function refusal(error: unknown): OvsdbError {
  return new OvsdbError('protocol', `Open vSwitch's database refused a request: ${JSON.stringify(error)}`, {
    refused: true,
  });
}
