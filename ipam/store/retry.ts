import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';

/** Enough for 64 writers of one block, one of which wins each round. */
export const MAX_ATTEMPTS = 100;
const LONGEST_PAUSE_MS = 40;

/**
 * Runs `attempt` until it returns a value; undefined means that another writer was first. Each
 * attempt must read again. The random pauses grow to at most 40 ms.
 * @throws IpamError `contention` after {@link MAX_ATTEMPTS}
 */
export async function retryLostRaces<T>(
  what: string,
  effects: Pick<Effects, 'random' | 'pause'>,
  attempt: (n: number) => Promise<T | undefined>,
): Promise<T> {
  for (let n = 0; n < MAX_ATTEMPTS; n++) {
    const result = await attempt(n);
    if (result !== undefined) return result;
    await effects.pause(effects.random() * Math.min(LONGEST_PAUSE_MS, 2 ** n));
  }
  throw new IpamError('contention', `${what}: other writers were first ${MAX_ATTEMPTS} times in a row`);
}
