/** The time of each suspect's first observation, in milliseconds of a monotonic clock. */
export type Suspected = ReadonlyMap<string, number>;

export interface Suspect {
  /** Identifies one suspect. An address with a new owner is another suspect. */
  readonly id: string;
  /** Whether one observation is sufficient proof. */
  readonly atOnce: boolean;
}

/** The result of a further observation. */
export interface Weighed<T extends Suspect> {
  readonly proven: readonly T[];
  /** Suspects whose first observation is this one, or less than the grace period ago. */
  readonly waiting: readonly T[];
  /** Input for the next observation. Omits every suspect that this observation did not find. */
  readonly suspected: Suspected;
  /**
   * Milliseconds until the earliest waiting suspect can be proven by another observation; undefined
   * when none waits.
   */
  readonly nextInMs: number | undefined;
}

/**
 * A suspect is proven when two observations at least `graceMs` apart, and every observation between
 * them, found it; with `atOnce`, one observation suffices.
 * @param now from the same clock as the times in `before`, in milliseconds
 */
export function weigh<T extends Suspect>(
  seen: readonly T[],
  before: Suspected,
  now: number,
  graceMs: number,
): Weighed<T> {
  const suspected = new Map(seen.map(({ id }) => [id, before.get(id) ?? now]));
  const leftMs = ({ id }: T): number => (suspected.get(id) ?? now) + graceMs - now;
  const isProven = (each: T): boolean => each.atOnce || (before.has(each.id) && leftMs(each) <= 0);
  const waiting = seen.filter((each) => !isProven(each));
  return {
    proven: seen.filter(isProven),
    waiting,
    suspected,
    nextInMs: waiting.length === 0 ? undefined : Math.max(0, Math.min(...waiting.map(leftMs))),
  };
}
