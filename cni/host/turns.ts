import type { Effects } from '../../ipam/model/effects.ts';

export interface TurnLimits {
  /** Longest wait for a turn, in milliseconds. */
  readonly waitMs: number;
  /** Most callers that wait at once. */
  readonly most: number;
}

/**
 * Runs work one at a time, in the order in which it is asked for. Refuses a caller when too many
 * wait already, or when its turn does not come in time: work that never ends must not hold up an
 * unbounded number of callers.
 */
export class Turns {
  readonly #limits: TurnLimits;
  readonly #schedule: Effects['schedule'];
  readonly #refusal: (why: string) => Error;
  /** Resolves when all earlier callers are done or refused. */
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #running = 0;

  /** @param refusal makes the error for a caller that gets no turn, from the reason */
  constructor(limits: TurnLimits, { schedule }: Pick<Effects, 'schedule'>, refusal: (why: string) => Error) {
    this.#limits = limits;
    this.#schedule = schedule;
    this.#refusal = refusal;
  }

  /** Whether nothing runs and nothing waits. */
  get idle(): boolean {
    return this.#waiting + this.#running === 0;
  }

  /** @throws the error of `refusal`; the work has not begun then */
  run<T>(work: () => Promise<T>): Promise<T> {
    const { waitMs, most } = this.#limits;
    if (this.#waiting >= most) return Promise.reject(this.#refusal(`${most} wait already`));
    this.#waiting++;
    return new Promise<T>((resolve, reject) => {
      let isRefused = false;
      const timer = this.#schedule(waitMs, () => {
        isRefused = true;
        this.#waiting--;
        reject(this.#refusal(`none came within ${waitMs / 1000} s`));
      });
      this.#last = this.#last.then(async () => {
        if (isRefused) return;
        timer.cancel();
        this.#waiting--;
        this.#running++;
        // The next turn begins when the work has ended, however it ends.
        const [outcome] = await Promise.allSettled([work()]);
        this.#running--;
        if (outcome.status === 'fulfilled') resolve(outcome.value);
        else reject(outcome.reason as Error);
      });
    });
  }
}
