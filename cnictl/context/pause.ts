import { setTimeout as sleep } from 'node:timers/promises';

/** Longest that a timer of Node lasts, in milliseconds: a longer one ends at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Waits by one timer, no longer than to the signal. */
const timer = async (ms: number, signal: AbortSignal | undefined): Promise<void> => {
  try {
    await sleep(ms, undefined, signal && { signal });
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
};

/**
 * Waits that long, however long: one timer after another.
 * @param ms milliseconds; 0 or less is no wait
 * @param signal ends it early, without an error
 * @param wait replaced in tests
 * @throws RangeError where it is no number: an unknown wait is never a short one
 */
export async function pause(
  ms: number,
  signal?: AbortSignal,
  wait: (ms: number, signal: AbortSignal | undefined) => Promise<unknown> = timer,
): Promise<void> {
  if (Number.isNaN(ms)) throw new RangeError('a pause of NaN ms: expected a number');
  for (let left = ms; left > 0 && !signal?.aborted; left -= LONGEST_TIMER_MS)
    await wait(Math.min(left, LONGEST_TIMER_MS), signal);
}
