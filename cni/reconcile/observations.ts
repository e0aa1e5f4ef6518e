/** What earlier observations suspected: when each was first seen, in milliseconds of a clock that never jumps. */
export type Suspected = ReadonlyMap<string, number>;

export interface Suspect {
  /** The same as long as it is the same thing: an address that changed hands is another suspect. */
  readonly id: string;
  /** One observation is proof enough. */
  readonly atOnce: boolean;
}

/** What a further observation adds. */
export interface Weighed<T extends Suspect> {
  readonly proven: readonly T[];
  /** Seen for the first time, or not long enough ago. */
  readonly waiting: readonly T[];
  /** For the next observation: whoever was not seen this time is forgotten. */
  readonly suspected: Suspected;
  /** Milliseconds until the first that waits is proven, if it is still there then; undefined: none waits. */
  readonly nextInMs: number | undefined;
}

/**
 * Proven is what two observations found that lie at least a grace apart, and every observation between them.
 * @param now of the same clock as the times in `before`
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
