import { setTimeout as sleep } from 'node:timers/promises';

/** Node's longest timer, in milliseconds. A longer one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Waits with one timer, at most until the signal. */
const timer = async (ms: number, signal: AbortSignal | undefined): Promise<void> => {
  try {
    await sleep(ms, undefined, signal && { signal });
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
};

/**
 * Waits any length of time, with several timers if needed.
 * @param ms milliseconds; 0 or less is no wait
 * @param signal ends the wait early, without an error
 * @param wait replaced in tests
 * @throws RangeError for NaN: an unknown wait must not become a short one
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
