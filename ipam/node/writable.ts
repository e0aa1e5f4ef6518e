import { KEPT } from '../records/kept-record.ts';
import { BLOCKS, HISTORY, nodePrefix } from '../records/keys.ts';
import { machineKey } from '../records/machine-record.ts';
import { OWN } from '../records/own-record.ts';
import { absent, put, unchanged } from '../records/transaction.ts';
import type { Store } from '../store/store.ts';

/** Below a group of keys; no program writes it. */
const PROBE = 'probe';

/** Where an operator's commands write, like the node's. */
export const BLOCK_PROBE = `${BLOCKS}${PROBE}`;

/** Returns a key of each kind that ADDs and DELs of the node write. */
export const keysOfNode = (node: string): string[] => [
  machineKey(node),
  `${nodePrefix(node)}${PROBE}`,
  BLOCK_PROBE,
  `${HISTORY}${PROBE}`,
  `${KEPT}${PROBE}`,
  `${OWN}${PROBE}`,
];

/**
 * Finds out whether etcd would take a write of these keys now, and changes nothing. It sends a
 * transaction whose guards exclude one another. Before etcd compares them, it refuses a transaction
 * that puts a key when it is full or corrupt, has no leader, or the user may not write the key. So
 * it needs no right that a write does not need, unlike the list of alarms. To etcd it costs one
 * entry of its log, and no revision.
 * @throws IpamError `store-…`
 */
export async function checkWritable(store: Pick<Store, 'commit'>, keys: readonly string[]): Promise<void> {
  const [key = BLOCK_PROBE] = keys;
  const never = [absent(key), unchanged({ key, revision: '1' })];
  await store.commit(
    never,
    keys.map((each) => put(each, '')),
  );
}
