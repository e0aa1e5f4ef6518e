/**
 * Effects that the core and the agent get from outside (rule 9): time, random numbers and the event
 * loop as values. Tests and a simulator pass their own; `cni/host/effects.ts` has the host's.
 */
export interface Effects {
  /** Returns milliseconds since 1970 by the wall clock, which may jump. */
  readonly now: () => number;
  /**
   * Returns milliseconds since an arbitrary start, by a clock that never jumps (CLOCK_MONOTONIC).
   * For deadlines and durations.
   */
  readonly monotonic: () => number;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Resolves after that many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  /** Resolves after one turn of the event loop, so that I/O started earlier gets under way. */
  readonly yieldTurn: () => Promise<void>;
  /** Runs the work once after that many milliseconds. A pending timer keeps no process alive. */
  readonly schedule: (ms: number, work: () => void) => Timer;
}

export interface Timer {
  cancel(): void;
}

/** Runs the work every `ms` milliseconds until cancelled. */
export function every({ schedule }: Pick<Effects, 'schedule'>, ms: number, work: () => void): Timer {
  const arm = (): Timer =>
    schedule(ms, () => {
      timer = arm();
      work();
    });
  let timer = arm();
  return { cancel: () => timer.cancel() };
}
