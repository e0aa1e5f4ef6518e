import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { OpenIpam, Platform, Switch } from './platform.ts';

/** Longest time that an ADD or DEL waits for etcd, in milliseconds (rule 4). */
export const ETCD_DEADLINE_MS = 5_000;
/** Longest wait for a reply of OVSDB, or for vswitchd to take a port up, in milliseconds. */
const SWITCH_DEADLINE_MS = 5_000;

/**
 * Runs `work` with the IPAM of one etcd cluster, then closes the IPAM.
 * @param expiresAt deadline of all etcd requests together, in milliseconds since 1970. The agent's
 *   warm IPAM applies its own deadline instead.
 */
export async function withIpamAt<T>(
  platform: Platform,
  etcd: EtcdSettings,
  work: (ipam: OpenIpam) => Promise<T>,
  expiresAt = platform.now() + ETCD_DEADLINE_MS,
): Promise<T> {
  return await closing(await platform.openIpam(etcd, expiresAt), work);
}

/** Runs `work` with Open vSwitch, then closes it. */
export async function withSwitch<T>(
  platform: Platform,
  at: SwitchAddress,
  work: (ovs: Switch) => Promise<T>,
): Promise<T> {
  return await closing(await platform.openSwitch(at, SWITCH_DEADLINE_MS), work);
}

async function closing<R extends { close(): void }, T>(open: R, work: (open: R) => Promise<T>): Promise<T> {
  try {
    return await work(open);
  } finally {
    open.close();
  }
}
