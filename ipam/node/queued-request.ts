import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';
import type { NodeRequest } from './runner.ts';

/**
 * A request and its caller, who waits until a deadline. A request whose caller has given up changes
 * nothing more, unless its transaction was under way by then: the caller is told which.
 */
export class QueuedRequest<T> {
  /** Rejects at the deadline with IpamError `store-unreachable`, which may be `uncertain`. */
  readonly outcome: Promise<T>;
  /** Milliseconds of the monotonic clock. */
  readonly expiresAt: number;
  readonly #request: NodeRequest<T>;
  #settle: (result: PromiseSettledResult<T>) => void = () => undefined;
  #mayBeWritten = false;
  #ended = false;

  constructor(
    request: NodeRequest<T>,
    expiresAt: number,
    { monotonic, schedule }: Pick<Effects, 'monotonic' | 'schedule'>,
  ) {
    this.#request = request;
    this.expiresAt = expiresAt;
    const timer = schedule(Math.max(0, expiresAt - monotonic()), () => this.expire());
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = (result) => {
        this.#ended = true;
        timer.cancel();
        if (result.status === 'fulfilled') resolve(result.value);
        else reject(result.reason as Error);
      };
    });
  }

  /** The request as a runner may carry it out. */
  get request(): NodeRequest<T> {
    const given = this.#request;
    return {
      ...given,
      change: async (transaction, lost) => {
        if (this.#ended) throw this.#late();
        // From here on the change may be part of the transaction, even if its caller gives up.
        this.#mayBeWritten = true;
        let value: T | undefined;
        try {
          value = await given.change(transaction, lost);
          return value;
        } finally {
          if (value === undefined) this.#mayBeWritten = false;
        }
      },
      ...('chosen' in given && {
        chosen: (value: T) => {
          if (!this.#ended) given.chosen?.(value);
        },
      }),
    };
  }

  /** Ends the wait with the outcome. The first end counts. */
  settle(result: PromiseSettledResult<T>): void {
    if (!this.#ended) this.#settle(result);
  }

  /** Ends the wait as its deadline does. */
  expire(): void {
    this.settle({ status: 'rejected', reason: this.#late() });
  }

  #late(): IpamError {
    const uncertain = this.#mayBeWritten;
    return new IpamError('store-unreachable', 'etcd did not answer within the deadline of the call', {
      uncertain,
    });
  }
}
