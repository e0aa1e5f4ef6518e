import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { OpenIpam, Platform } from './platform.ts';

/** Longest time that an ADD or DEL waits for etcd, in milliseconds (rule 4). */
export const ETCD_DEADLINE_MS = 5_000;

/** Does something with the IPAM of one etcd, and closes it. */
export async function withIpamAt<T>(
  platform: Platform,
  etcd: EtcdSettings,
  work: (ipam: OpenIpam) => Promise<T>,
): Promise<T> {
  const ipam = await platform.openIpam(etcd, platform.now() + ETCD_DEADLINE_MS);
  try {
    return await work(ipam);
  } finally {
    ipam.close();
  }
}
