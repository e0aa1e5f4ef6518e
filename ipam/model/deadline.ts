import type { Effects } from './effects.ts';

/**
 * Resolves or rejects as the work does, or rejects once the deadline has come. The work goes on
 * then, and nobody hears of its end: it must be a read, or work whose caller deals with both
 * outcomes.
 * @param expiresAt milliseconds of the monotonic clock
 * @param late returns the error at the deadline
 */
export function orLate<T>(
  work: Promise<T>,
  expiresAt: number,
  { monotonic, schedule }: Pick<Effects, 'monotonic' | 'schedule'>,
  late: () => Error,
): Promise<T> {
  if (expiresAt === Infinity) return work;
  return new Promise((resolve, reject) => {
    const timer = schedule(Math.max(0, expiresAt - monotonic()), () => reject(late()));
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}
