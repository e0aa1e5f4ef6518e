/**
 * What the world outside gives to the core and the agent (rule 9): time, chance and the event loop as values. Tests and a
 * simulator pass their own; `cni/host/effects.ts` has those of this host.
 */
export interface Effects {
  /** Milliseconds since 1970, by the wall clock: it may jump. */
  readonly now: () => number;
  /** Milliseconds from an arbitrary start, by a clock that never jumps (CLOCK_MONOTONIC): for deadlines and durations. */
  readonly monotonic: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Resolves after that many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  /** Resolves once the event loop has served what is ready now: I/O that is begun before it gets under way. */
  readonly yieldTurn: () => Promise<void>;
  /** Runs the work once after that many milliseconds, unless cancelled. A timer that is left keeps no process alive. */
  readonly schedule: (ms: number, work: () => void) => Timer;
}

export interface Timer {
  cancel(): void;
}

/** Runs the work again and again, that many milliseconds apart, until cancelled. */
export function every({ schedule }: Pick<Effects, 'schedule'>, ms: number, work: () => void): Timer {
  const arm = (): Timer =>
    schedule(ms, () => {
      timer = arm();
      work();
    });
  let timer = arm();
  return { cancel: () => timer.cancel() };
}
