import { orLate } from '../model/deadline.ts';
import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';
import type { Store } from './store.ts';

/**
 * Returns the store for one caller, all of whose requests end by the deadline. The store itself may
 * still wait for an answer, for others or in vain.
 * @param expiresAt milliseconds of the monotonic clock
 */
export function storeUntil(
  store: Store,
  expiresAt: number,
  effects: Pick<Effects, 'monotonic' | 'schedule'>,
): Store {
  const inTime = <T>(work: Promise<T>, uncertain = false): Promise<T> =>
    orLate(work, expiresAt, effects, () => lateAnswer(uncertain));
  return {
    get: (keys, options) => inTime(store.get(keys, options)),
    scan: (prefix, options) => pagesUntil(store.scan(prefix, options), inTime),
    count: (prefixes) => inTime(store.count(prefixes)),
    commit: (guards, writes) => inTime(store.commit(guards, writes), true),
    close: () => store.close(),
  };
}

async function* pagesUntil<T>(
  pages: AsyncIterable<T>,
  inTime: <R>(work: Promise<R>) => Promise<R>,
): AsyncIterable<T> {
  const iterator = pages[Symbol.asyncIterator]();
  for (let next = await inTime(iterator.next()); next.done !== true; next = await inTime(iterator.next()))
    yield next.value;
}

function lateAnswer(uncertain: boolean): IpamError {
  const what = 'etcd did not answer within the deadline of the call';
  return new IpamError('store-unreachable', what, { uncertain });
}
