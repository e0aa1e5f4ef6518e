import { IpamError } from '../model/errors.ts';
import { NODES } from '../records/keys.ts';
import { decodeDrainMark, drainKey, encodeDrainMark, isDrainKey } from '../records/node-record.ts';
import { absent, del, put, unchanged } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { retryLostRaces } from '../store/retry.ts';
import { readAgain } from '../store/store.ts';
import type { Ipam } from './ipam.ts';

/** Below etcd's limit of operations in one transaction. */
const MARKS_AT_ONCE = 100;

/**
 * Returns since when the node is draining, in milliseconds since 1970; undefined if it is not.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function drainingSince({ store }: Ipam, node: string): Promise<number | undefined> {
  const [entry] = await store.get([drainKey(node)]);
  return entry && decodeDrainMark(entry.key, entry.value);
}

/**
 * Sets or removes the drain mark. While it is set, no program allocates a new address on the node;
 * existing allocations stay.
 * @returns whether the mark changed
 * @throws IpamError `corrupt-record` for a mark to remove that cannot be read, `contention`,
 *   `store-…`
 */
export function setNodeDraining(ipam: Ipam, node: string, draining: boolean): Promise<boolean> {
  return retryLostRaces(`setting node '${node}' to draining`, ipam.effects, async () => {
    const key = drainKey(node);
    const [entry] = await ipam.store.get([key]);
    if (Boolean(entry) === draining) return false;
    if (entry) decodeDrainMark(entry.key, entry.value);
    const done = entry
      ? await ipam.store.commit([unchanged(entry)], [del(key)])
      : await ipam.store.commit([absent(key)], [put(key, encodeDrainMark(ipam.effects.now()))]);
    return done === undefined ? undefined : true;
  });
}

/** Returns the error for an ADD on a draining node. */
export function drainingError(node: string): IpamError {
  return new IpamError('exhausted', `node '${node}' is draining: nothing new is given out on it`, {
    remedy: `Start the pod on another node, or end it: cnictl node undrain ${node}`,
  });
}

/** Returns the names of the nodes that are draining. @throws IpamError `store-…` */
export function drainingNodes({ store }: Ipam): Promise<ReadonlySet<string>> {
  return readAgain(async () => {
    const nodes = new Set<string>();
    for await (const page of store.scan(NODES, { keysOnly: true }))
      for (const { key } of page) if (isDrainKey(key)) nodes.add(key.split('/')[1] ?? '');
    return nodes;
  });
}

/**
 * Returns since when each draining node drains, in milliseconds since 1970; undefined for one whose
 * mark cannot be read.
 * @throws IpamError `store-…`
 */
export async function drainMarks(ipam: Ipam): Promise<ReadonlyMap<string, number | undefined>> {
  const nodes = [...(await drainingNodes(ipam))].sort();
  const marks = new Map<string, number | undefined>();
  for (let at = 0; at < nodes.length; at += MARKS_AT_ONCE) {
    const some = nodes.slice(at, at + MARKS_AT_ONCE);
    const entries = await ipam.store.get(some.map(drainKey));
    some.forEach((node, n) => {
      const entry = entries[n];
      const read = entry && readRecord(entry, decodeDrainMark);
      // One that is gone by now was there when the nodes were listed.
      marks.set(node, read && 'value' in read ? read.value : undefined);
    });
  }
  return marks;
}
