import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Effects } from '../../ipam/model/effects.ts';

/** Clock, random numbers and event loop of this process. */
export const hostEffects: Effects = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  pause: (ms) => sleep(ms),
  yieldTurn: () => nextTurn(),
  schedule: (ms, work) => {
    const timer = setTimeout(work, ms).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
