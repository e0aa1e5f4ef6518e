import { existsSync } from 'node:fs';
import {
  checkNodeName,
  DEFAULT_BRIDGE,
  DEFAULT_OVSDB,
  DEFAULT_RECONCILE_GRACE_MS,
  DEFAULT_RECONCILE_INTERVAL_MS,
  mergeSettings,
  settingsFromEnvironment,
  type PartialSettings,
} from '../../ipam/settings/settings.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Input } from '../protocol/invocation.ts';
import type { Environment } from '../protocol/request.ts';
import { sharedSettings, stateDirOf, type SwitchAddress } from '../protocol/settings.ts';
import type { OwnPlace } from './places.ts';

export interface ReconcileSettings {
  readonly own: OwnPlace;
  /** 0 disables the periodic reconcile. */
  readonly intervalMs: number;
  readonly graceMs: number;
}

/**
 * Returns the settings for a process that serves no call. The environment overrides the shared
 * file.
 * @throws IpamError `invalid`; CniError 4; 5 when the shared file cannot be read
 */
export function reconcileSettings(
  env: Environment,
  shared: Input['sharedConfig'],
  hostname: string,
): ReconcileSettings {
  const file = sharedSettings(shared);
  const merged = mergeSettings([settingsFromEnvironment(env), file]);
  return {
    own: ownPlaceOf(merged, env, hostname),
    intervalMs: merged.reconcile?.intervalMs ?? DEFAULT_RECONCILE_INTERVAL_MS,
    graceMs: merged.reconcile?.graceMs ?? DEFAULT_RECONCILE_GRACE_MS,
  };
}

/**
 * @param assumed whether the default etcd applies when the settings name none; otherwise the
 *   network configuration may name another one, which the records of its ADDs contain
 */
export function ownPlaceOf(
  settings: PartialSettings,
  env: Environment,
  hostname: string,
  assumed = false,
): OwnPlace {
  const named = assumed || settings.etcd?.endpoints !== undefined;
  const node = checkNodeName(settings.node ?? hostname);
  return {
    stateDir: stateDirOf(env),
    ipam: named ? { etcd: etcdSettings(settings.etcd), node } : undefined,
    ovs: switchOf(settings),
    bridge: settings.bridge ?? DEFAULT_BRIDGE,
  };
}

/**
 * Returns the default only when its socket exists: a node whose pods use another main plugin has no
 * Open vSwitch.
 */
function switchOf({ ovsdb, ovsdbTls = {} }: PartialSettings): SwitchAddress | undefined {
  if (ovsdb !== undefined) return { ovsdb, ovsdbTls };
  return existsSync(DEFAULT_OVSDB.slice('unix:'.length)) ? { ovsdb: DEFAULT_OVSDB, ovsdbTls } : undefined;
}
