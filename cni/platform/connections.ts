import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { OpenIpam, Platform } from './platform.ts';
import type { Switch } from './switch.ts';

/**
 * Longest wait for one request to etcd, in milliseconds (rule 4). A caller of the agent waits no
 * longer for all its requests together, since it shares them with others.
 */
export const ETCD_DEADLINE_MS = 5_000;
/** Longest time that one use of Open vSwitch takes, with vswitchd's part, in milliseconds. */
const SWITCH_DEADLINE_MS = 5_000;

/** Identifies an etcd cluster in `Deadlines`. */
export const etcdName = ({ endpoints }: Pick<EtcdSettings, 'endpoints'>): string =>
  `etcd at ${endpoints.join(',')}`;

/** Identifies an Open vSwitch in `Deadlines`. */
export const switchName = ({ ovsdb }: Pick<SwitchAddress, 'ovsdb'>): string =>
  `Open vSwitch's database at ${ovsdb}`;

/**
 * Runs `work` with the IPAM of one etcd cluster, then closes the IPAM.
 * @throws IpamError, also the earlier one when the cluster has not answered this call before
 */
export function withIpamAt<T>(
  platform: Platform,
  etcd: EtcdSettings,
  work: (ipam: OpenIpam) => Promise<T>,
): Promise<T> {
  return platform.deadlines.ask(etcdName(etcd), ETCD_DEADLINE_MS, async (...deadlines) =>
    closing(await platform.openIpam(etcd, ...deadlines), work),
  );
}

/**
 * Runs `work` with Open vSwitch, then closes it.
 * @throws OvsdbError, also the earlier one when the database has not answered this call before
 */
export function withSwitch<T>(
  platform: Platform,
  at: SwitchAddress,
  work: (ovs: Switch) => Promise<T>,
): Promise<T> {
  return platform.deadlines.ask(switchName(at), SWITCH_DEADLINE_MS, async (expiresAt) =>
    closing(await platform.openSwitch(at, expiresAt), work),
  );
}

async function closing<R extends { close(): void }, T>(open: R, work: (open: R) => Promise<T>): Promise<T> {
  try {
    return await work(open);
  } finally {
    open.close();
  }
}
