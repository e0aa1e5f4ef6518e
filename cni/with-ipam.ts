import type { EtcdSettings } from '../ipam/etcd/settings.ts';
import type { OpenIpam, Parts } from './parts.ts';

/** Longest time that an ADD or DEL waits for etcd, in milliseconds (rule 4). */
export const ETCD_DEADLINE_MS = 5_000;

/** Does something with the IPAM of one etcd, and closes it. */
export async function withIpamAt<T>(
  parts: Parts,
  etcd: EtcdSettings,
  work: (ipam: OpenIpam) => Promise<T>,
): Promise<T> {
  const ipam = await parts.openIpam(etcd, parts.now() + ETCD_DEADLINE_MS);
  try {
    return await work(ipam);
  } finally {
    ipam.close();
  }
}
