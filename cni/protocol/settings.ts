import { shorten } from '../../ipam/records/decode.ts';
import {
  checkNodeName,
  DEFAULT_AGENT,
  DEFAULT_BRIDGE,
  DEFAULT_OVSDB,
  DEFAULT_STATE_DIR,
  mergeSettings,
  parseSharedConfig,
  settingsFromEnvironment,
  type OvsdbTls,
  type PartialSettings,
} from '../../ipam/settings/settings.ts';
import { isSocketPath, SOCKET_PATH_FORM } from '../../ipam/settings/socket-path.ts';
import { etcdSettings, type EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { NetworkConfig } from './config.ts';
import { CniError } from './errors.ts';
import type { SharedConfig } from './invocation.ts';
import { memoize } from './memoize.ts';
import type { Environment } from './request.ts';

/**
 * The addresses of this node's platform. The environment overrides the network configuration's
 * keys, and the shared file fills in the rest.
 */
export interface NodeSettings {
  readonly etcd: EtcdSettings;
  readonly node: string;
  readonly bridge: string;
  readonly ovsdb: string;
  readonly ovsdbTls: OvsdbTls;
  readonly agent: string | false;
  /** Whether pods may send only with their own addresses. */
  readonly sourceCheck: boolean;
  /** Directory of the state that must survive an etcd outage. */
  readonly stateDir: string;
  /** Where the API server is; absent: as the environment says. */
  readonly kubeconfig?: string;
}

const parseShared = memoize(parseSharedConfig);

/** @throws IpamError `invalid`, or the failure of a file that cannot be read */
export function sharedSettings(shared: SharedConfig | undefined): PartialSettings {
  if (!shared) return {};
  if ('failure' in shared) throw shared.failure;
  return parseShared(shared.content, shared.file);
}

/** The address of OVSDB: a remote as in ovsdb(7), with key and certificate files for `ssl:`. */
export type SwitchAddress = Pick<NodeSettings, 'ovsdb' | 'ovsdbTls'>;

/**
 * @param recorded the settings of the attachment's earlier ADD, for a DEL with fewer keys
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
    sourceCheck: config.sourceCheck,
  };
  const merged = mergeSettings([settingsFromEnvironment(env), inline, recorded, file]);
  return {
    etcd: etcdSettings(merged.etcd),
    node: checkNodeName(merged.node ?? hostname),
    bridge: merged.bridge ?? DEFAULT_BRIDGE,
    ovsdb: merged.ovsdb ?? DEFAULT_OVSDB,
    ovsdbTls: merged.ovsdbTls ?? {},
    agent: merged.agent ?? DEFAULT_AGENT,
    sourceCheck: merged.sourceCheck ?? false,
    stateDir: stateDirOf(env),
    ...(merged.kubeconfig !== undefined && { kubeconfig: merged.kubeconfig }),
  };
}

/**
 * Checks the paths of unix sockets, from whichever source they come.
 * @throws CniError 7, which names the key, its value and the expected form
 */
export function checkSocketPaths({ agent, ovsdb }: Pick<NodeSettings, 'agent' | 'ovsdb'>): void {
  const paths = { agent: agent || '', ovsdb: ovsdb.startsWith('unix:') ? ovsdb.slice('unix:'.length) : '' };
  for (const [key, path] of Object.entries(paths)) {
    if (isSocketPath(path)) continue;
    throw new CniError(
      'invalid-config',
      `key '${key}' is ${shorten(path)}, of ${Buffer.byteLength(path)} bytes: expected ${SOCKET_PATH_FORM}`,
    );
  }
}

/** @throws CniError 4 for a relative path, which each process would resolve differently */
export function stateDirOf(env: Environment): string {
  const dir = env['CELLNET_STATE_DIR'] || DEFAULT_STATE_DIR;
  if (dir.startsWith('/')) return dir;
  throw new CniError(
    'invalid-environment',
    `CELLNET_STATE_DIR is ${shorten(dir)}: expected an absolute path`,
  );
}
