import { shorten } from '../../ipam/records/decode.ts';
import {
  checkNodeName,
  DEFAULT_AGENT,
  DEFAULT_BRIDGE,
  DEFAULT_OVSDB,
  DEFAULT_STATE_DIR,
  mergeSettings,
  settingsFromEnvironment,
  type OvsdbTls,
  type PartialSettings,
} from '../../ipam/settings/settings.ts';
import { etcdSettings, type EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { NetworkConfig } from './config.ts';
import { CniError } from './errors.ts';
import type { Environment } from './request.ts';

/** Where this node's parts are: the configuration's keys, overridden by the environment, completed by the shared file. */
export interface NodeSettings {
  readonly etcd: EtcdSettings;
  readonly node: string;
  readonly bridge: string;
  readonly ovsdb: string;
  readonly ovsdbTls: OvsdbTls;
  readonly agent: string | false;
  /** State that must survive etcd being away. */
  readonly stateDir: string;
}

/** Where OVSDB is: a remote as in ovsdb(7), with files where it is `ssl:`. */
export type SwitchAddress = Pick<NodeSettings, 'ovsdb' | 'ovsdbTls'>;

/**
 * @param recorded what an earlier ADD of the attachment used: for a DEL whose configuration is cut down
 * @throws IpamError `invalid`
 */
export function resolveSettings(
  config: NetworkConfig,
  env: Environment,
  file: PartialSettings,
  hostname: string,
  recorded: PartialSettings = {},
): NodeSettings {
  const inline: PartialSettings = {
    etcd: config.ourIpam?.etcd,
    node: config.ourIpam?.node || undefined,
    bridge: config.bridge,
    ovsdb: config.ovsdb,
    ovsdbTls: config.ovsdbTls,
    agent: config.agent,
  };
  const merged = mergeSettings([settingsFromEnvironment(env), inline, recorded, file]);
  return {
    etcd: etcdSettings(merged.etcd),
    node: checkNodeName(merged.node ?? hostname),
    bridge: merged.bridge ?? DEFAULT_BRIDGE,
    ovsdb: merged.ovsdb ?? DEFAULT_OVSDB,
    ovsdbTls: merged.ovsdbTls ?? {},
    agent: merged.agent ?? DEFAULT_AGENT,
    stateDir: stateDirOf(env),
  };
}

/** @throws CniError 4 for a relative path: each process would look somewhere else */
export function stateDirOf(env: Environment): string {
  const dir = env['CELLNET_STATE_DIR'] || DEFAULT_STATE_DIR;
  if (dir.startsWith('/')) return dir;
  throw new CniError(
    'invalid-environment',
    `CELLNET_STATE_DIR is ${shorten(dir)}: expected an absolute path`,
  );
}
