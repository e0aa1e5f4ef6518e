import { LOST, lostOf, type Lost } from '../records/lost-record.ts';
import { scanAll, type Store } from './store.ts';

/** Returns which ranges the nodes miss in etcd. @throws IpamError `store-…` */
export const readLost = async (store: Store): Promise<Lost> => lostOf(await scanAll(store, LOST));
