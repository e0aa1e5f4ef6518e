import { readNetworkConfig } from '../../cni/protocol/config.ts';
import { CommandError } from '../context/errors.ts';

export interface NetworkOptions {
  readonly network: string;
  readonly bridge: string | undefined;
  readonly cniVersion: string;
}

/**
 * Returns the network configuration list of a node. The shared file has etcd's endpoints.
 * @throws CniError that names key and value
 */
export function makeConflist(options: NetworkOptions): string {
  const text = formatConflist(options);
  checkConflist(text, 'the network configuration');
  return text;
}

function formatConflist({ network, bridge, cniVersion }: NetworkOptions): string {
  const plugin = { type: 'cellnet', ...(bridge !== undefined && { bridge }), ipam: { type: 'cellnet-ipam' } };
  return `${JSON.stringify({ cniVersion, name: network, plugins: [plugin] }, null, 2)}\n`;
}

/** Returns the options of which a list was made; undefined for a list of another shape. */
export function readNetwork(text: string): NetworkOptions | undefined {
  const list = readList(text);
  const [plugin] = list?.plugins ?? [];
  if (typeof list?.name !== 'string' || typeof list.cniVersion !== 'string') return undefined;
  const named = typeof plugin === 'object' && plugin !== null && 'bridge' in plugin;
  const bridge = named && typeof plugin.bridge === 'string' ? plugin.bridge : undefined;
  const options = { network: list.name, bridge, cniVersion: list.cniVersion };
  return formatConflist(options) === text ? options : undefined;
}

/**
 * Refuses a configuration that the plugin would refuse later, while a pod waits.
 * @throws CommandError, CniError that names key and value
 */
export function checkConflist(text: string, file: string): void {
  const list = readList(text);
  const ours = list?.plugins.find(isOurs);
  if (!list || !ours) {
    throw new CommandError(
      `${file} is no network configuration list of cellnet: expected {"cniVersion", "name", "plugins": [{"type": "cellnet", …}]}`,
    );
  }
  const { cniVersion, name } = list;
  const plugin = ours.type === 'cellnet' ? 'cellnet' : 'cellnet-ipam';
  readNetworkConfig(JSON.stringify({ ...ours, cniVersion, name }), plugin, 'ADD');
}

/** Tells whether a file in the runtime's folder configures cellnet. */
export const namesCellnet = (text: string): boolean => readList(text)?.plugins.some(isOurs) ?? false;

interface List {
  readonly cniVersion?: unknown;
  readonly name?: unknown;
  readonly plugins: readonly unknown[];
}

function readList(text: string): List | undefined {
  try {
    const json = JSON.parse(text) as Partial<List> | null;
    return json !== null && Array.isArray(json.plugins) ? (json as List) : undefined;
  } catch {
    return undefined;
  }
}

const isOurs = (plugin: unknown): plugin is { type: string } =>
  typeof plugin === 'object' &&
  plugin !== null &&
  'type' in plugin &&
  (plugin.type === 'cellnet' ||
    ('ipam' in plugin && (plugin.ipam as { type?: unknown } | null)?.type === 'cellnet-ipam'));
