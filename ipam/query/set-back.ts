import type { Ipam } from '../node/ipam.ts';
import { decodeSetBack, encodeSetBack, SET_BACK, type SetBack } from '../records/set-back-record.ts';
import { asRead, put } from '../records/transaction.ts';
import { readRecord, type Read } from '../records/unreadable.ts';
import { retryLostRaces } from '../store/retry.ts';
import type { Store } from '../store/store.ts';

/**
 * Returns the cluster's latest set-back; undefined if there was none.
 * @throws IpamError `store-…`
 */
export async function readSetBack(store: Store): Promise<Read<SetBack> | undefined> {
  const [entry] = await store.get([SET_BACK]);
  return entry && readRecord(entry, decodeSetBack);
}

/**
 * Makes every node prove new addresses free on the wire for an hour.
 * @param node that found the set-back, or `operator`
 * @throws IpamError `contention`, `store-…`
 */
export async function tellSetBack(
  { store, effects }: Pick<Ipam, 'store' | 'effects'>,
  node: string,
  reason: string,
): Promise<void> {
  await retryLostRaces('telling of the set-back', effects, async () => {
    const [entry] = await store.get([SET_BACK]);
    const value = encodeSetBack({ at: effects.now(), node, reason });
    return await store.commit([asRead(SET_BACK, entry)], [put(SET_BACK, value)]);
  });
}
