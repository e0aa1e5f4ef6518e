import type { Ipam } from '../node/ipam.ts';
import {
  decodeCluster,
  encodeCluster,
  KUBERNETES_KEY,
  type ClusterRecord,
} from '../records/cluster-record.ts';
import { absent, put, unchanged, type Entry } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import type { Store } from '../store/store.ts';

/** What etcd holds about the Kubernetes cluster that it belongs to. */
export interface KnownCluster {
  /** Absent without a record. */
  readonly entry?: Entry;
  /** Absent without a record, and when the record cannot be read. */
  readonly record?: ClusterRecord;
  /** Why the record cannot be read. */
  readonly problem?: string;
}

/** @throws IpamError `store-…` */
export async function readCluster(store: Store): Promise<KnownCluster> {
  const [entry] = await store.get([KUBERNETES_KEY]);
  if (!entry) return {};
  const read = readRecord(entry, decodeCluster);
  return 'value' in read ? { entry, record: read.value } : { entry, problem: read.unreadable.reason };
}

/**
 * Writes which cluster etcd belongs to, unless the record is no longer as it was read.
 * @param seen the record to replace; undefined: there was none
 * @returns whether it was written
 * @throws IpamError `store-…`
 */
export async function writeCluster(ipam: Ipam, seen: Entry | undefined, uid: string): Promise<boolean> {
  const guard = seen ? unchanged(seen) : absent(KUBERNETES_KEY);
  const value = encodeCluster({ uid, since: ipam.effects.now() });
  return (await ipam.store.commit([guard], [put(KUBERNETES_KEY, value)])) !== undefined;
}

/** Whether an API server is that of the cluster that etcd belongs to. */
export type Identity =
  | { readonly kind: 'ours'; readonly uid: string }
  | { readonly kind: 'other'; readonly uid: string; readonly record: ClusterRecord }
  /** etcd has no record yet. */
  | { readonly kind: 'unrecorded'; readonly uid: string }
  /** The record in etcd cannot be read. */
  | { readonly kind: 'unreadable'; readonly uid: string | null; readonly problem: string }
  /** The API server does not tell its UID. */
  | { readonly kind: 'untold' };

/** @param uid of the API server's cluster; null when it may not be read */
export function identityOf({ record, problem }: KnownCluster, uid: string | null): Identity {
  if (problem !== undefined) return { kind: 'unreadable', uid, problem };
  if (uid === null) return { kind: 'untold' };
  if (!record) return { kind: 'unrecorded', uid };
  return record.uid === uid ? { kind: 'ours', uid } : { kind: 'other', uid, record };
}
