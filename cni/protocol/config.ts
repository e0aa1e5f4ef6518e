import type * as v from 'valibot';
import type { Family } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { decodeValue, shorten, withoutNullMembers } from '../../ipam/records/decode.ts';
import type { OvsdbTls } from '../../ipam/settings/settings.ts';
import {
  OUR_IPAM,
  ourIpam,
  mainSchema,
  ipamSchema,
  type trunkEntry,
  type createBridge,
  type Announcement,
  type AddressProbe,
  type OurIpam,
} from './config-schema.ts';
import { CniError } from './errors.ts';
import { mirrorsOf, type PortMirror } from './mirrors.ts';
import type { Verb } from './request.ts';
import { IF_RESULT, type CniResult } from './result.ts';
import { checkVersion, type CniVersion } from './version.ts';

/** One plugin's network configuration, validated. */
export interface NetworkConfig {
  readonly cniVersion: CniVersion;
  readonly name: string;
  readonly bridge: string | undefined;
  readonly mtu: number | undefined;
  readonly vlan: number | undefined;
  readonly ovsdb: string | undefined;
  readonly ovsdbTls: OvsdbTls | undefined;
  /** VLAN IDs that the port carries tagged, ascending; empty when it carries none. */
  readonly trunks: readonly number[];
  /** OpenFlow port number that the plugin requests from vswitchd. */
  readonly ofportRequest: number | undefined;
  /** The plugin writes these beside its own external_ids on port and interface. */
  readonly externalIds: Readonly<Record<string, string>>;
  /** When undefined, a missing bridge is an error. */
  readonly createBridge: { readonly datapathType: 'system' | 'netdev' } | undefined;
  readonly announcement: Announcement;
  /** When undefined, the plugin uses addresses without a probe. */
  readonly addressProbe: AddressProbe | undefined;
  readonly agent: string | false | undefined;
  /** Whether the pod sends only with its own addresses; undefined: as the node's settings say. */
  readonly sourceCheck: boolean | undefined;
  /** Further addresses, subnets and MACs that it may send with. */
  readonly allowedAddresses: readonly string[];
  /** The port's parts in mirrors of the bridge, by name. */
  readonly mirrors: readonly PortMirror[];
  /** The reply to the runtime contains this unless IPAM returned a `dns` of its own. */
  readonly dns: object | undefined;
  /** The `ipam` section if its type is cellnet-ipam. */
  readonly ourIpam: OurIpam | undefined;
  /** Type of the IPAM plugin; undefined when the section is absent. */
  readonly ipamType: string | undefined;
  readonly prevResult: CniResult | undefined;
  /**
   * The JSON object from stdin, unvalidated, without members that are null; on a DEL with invalid
   * keys, without them.
   */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** A configuration, and the error for invalid keys. Only DEL continues, without those keys. */
export interface ReadConfig {
  readonly config: NetworkConfig;
  readonly complaint: CniError | undefined;
}

/**
 * Reads the configuration of a call. DEL must succeed even when a key has become invalid since the
 * ADD, so DEL treats an invalid key as absent.
 * @throws CniError 6 when `stdin` is no JSON object; 1 for the version; 7, which names the key, its
 *   value and the expected form
 */
export function readNetworkConfig(stdin: string, plugin: 'cellnet' | 'cellnet-ipam', verb: Verb): ReadConfig {
  const raw = withoutNullKeys(parseObject(stdin));
  try {
    return { config: parseNetworkConfig(raw, plugin), complaint: undefined };
  } catch (error) {
    if (verb !== 'DEL' || !(error instanceof CniError) || error.kind !== 'invalid-config') throw error;
    return { config: parseNetworkConfig(withoutWrongKeys(raw), plugin), complaint: error };
  }
}

/** Keys with a domain, such as `cni.dev/valid-attachments`, belong to the runtime. */
const isRuntimes = (key: string): boolean => key.includes('/');

/** Keeps the runtime's keys: for a list that must be there, null means that it is empty. */
function withoutNullKeys(raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(raw).filter(([key, value]) => value !== null || isRuntimes(key));
  return Object.fromEntries(
    kept.map(([key, value]) => [key, isRuntimes(key) ? value : withoutNullMembers(value)]),
  );
}

/** Network name for a DEL without a valid one, which goes by container and interface instead. */
const NAMELESS = 'unknown';

/**
 * Keeps the keys that are valid on their own, also within an `ipam` section of cellnet-ipam. Drops
 * `prevResult`, which cellnet's DEL does not need.
 */
function withoutWrongKeys(raw: Record<string, unknown>): Record<string, unknown> {
  const right = { name: NAMELESS, ...keepRight(mainSchema.entries, { ...raw, prevResult: undefined }) };
  const { ipam } = right as { readonly ipam?: unknown };
  if (typeof ipam !== 'object' || ipam === null) return right;
  const isDelegated = 'type' in ipam && typeof ipam.type === 'string' && ipam.type !== OUR_IPAM;
  if (isDelegated || decodeValue(ourIpam, ipam).ok) return right;
  return { ...right, ipam: keepRight(ourIpam.entries, ipam) };
}

function keepRight(
  entries: Readonly<Record<string, v.GenericSchema>>,
  values: object,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).filter(([key, value]) => {
      const schema = Object.hasOwn(entries, key) ? entries[key] : undefined;
      return schema !== undefined && decodeValue(schema, value).ok;
    }),
  );
}

function parseNetworkConfig(
  raw: Readonly<Record<string, unknown>>,
  plugin: 'cellnet' | 'cellnet-ipam',
): NetworkConfig {
  const cniVersion = checkVersion(raw['cniVersion']);
  const ours = Object.fromEntries(Object.entries(raw).filter(([key]) => !isRuntimes(key)));
  const { name, ipam, ...config } = plugin === 'cellnet' ? decode(mainSchema, ours, '') : decodeForIpam(ours);
  return {
    cniVersion,
    name,
    bridge: config.bridge,
    mtu: config.mtu,
    vlan: config.vlan,
    ovsdb: config.ovsdb,
    ovsdbTls: config.ovsdbTls,
    trunks: trunksOf(config.trunk ?? []),
    ofportRequest: config.ofport_request,
    externalIds: config.externalIds ?? {},
    createBridge: createBridgeOf(config.createBridge ?? false),
    addressProbe: addressProbeOf(config.addressProbe ?? false),
    announcement: announcementOf(config.gratuitousArp ?? true),
    agent: config.agent,
    sourceCheck: config.sourceCheck,
    allowedAddresses: config.allowedAddresses ?? [],
    mirrors: mirrorsOf(config.mirrors ?? []),
    ourIpam: ipam?.type === OUR_IPAM ? decode(ourIpam, ipam, 'ipam.') : undefined,
    ipamType: ipam?.type,
    dns: config.dns,
    prevResult:
      raw['prevResult'] === undefined ? undefined : decode(IF_RESULT, raw['prevResult'], 'prevResult.'),
    raw,
  };
}

/** Returns the keys that the IPAM plugin reads. The main plugin's other keys may have any type. */
function decodeForIpam(raw: Record<string, unknown>): v.InferOutput<typeof mainSchema> {
  const { name, ipam } = decode(ipamSchema, raw, '');
  return { name, ipam };
}

/** @throws CniError 7 for a span whose `minID` is greater than its `maxID` */
function trunksOf(entries: readonly v.InferOutput<typeof trunkEntry>[]): number[] {
  const ids = entries.flatMap((entry, i) => {
    if (typeof entry === 'number') return [entry];
    if ('id' in entry) return [entry.id];
    const { minID, maxID } = entry;
    if (minID <= maxID) return Array.from({ length: maxID - minID + 1 }, (_, offset) => minID + offset);
    throw new CniError(
      'invalid-config',
      `network configuration: key 'trunk.${i}.maxID' is ${maxID}: expected at least minID, which is ${minID}`,
    );
  });
  return [...new Set(ids)].sort((a, b) => a - b);
}

function createBridgeOf(value: v.InferOutput<typeof createBridge>): NetworkConfig['createBridge'] {
  if (value === false) return undefined;
  return value === true ? { datapathType: 'system' } : value;
}

function addressProbeOf(value: boolean | AddressProbe): AddressProbe | undefined {
  if (typeof value !== 'boolean') return value;
  return value ? { count: 3, intervalMs: 100 } : undefined;
}

/** `true` means one announcement, which the kernel sends when the plugin sets the pod's MAC. */
function announcementOf(value: boolean | Announcement): Announcement {
  if (typeof value !== 'boolean') return value;
  return { count: value ? 1 : 0, intervalMs: 100 };
}

/** @throws CniError 6 */
export function parseObject(stdin: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(stdin);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError('decode-failure', `the network configuration on stdin is not JSON: ${reason}`, '', {
      cause,
    });
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new CniError(
    'decode-failure',
    `the network configuration is ${shorten(json)}: expected a JSON object`,
  );
}

/**
 * @param prefix precedes the key in the error message
 * @throws CniError 7, which names the key, its value and the expected form
 */
export function decode<T extends v.GenericSchema>(
  schema: T,
  input: unknown,
  prefix: string,
): v.InferOutput<T> {
  const result = decodeValue(schema, input);
  if (result.ok) return result.value;
  const { message, path } = result.problem;
  throw new CniError(
    'invalid-config',
    `network configuration: ${message.replace(`'${path}'`, `'${prefix}${path}'`)}`,
  );
}

/** Returns the families of an attachment's addresses; IPv4 when the configuration names none. */
export function familiesOf(ipam: OurIpam | undefined): readonly Family[] {
  const names = ipam?.families ?? ['ipv4'];
  return (['ipv4', 'ipv6'] as const)
    .filter((name) => names.includes(name))
    .map((name) => (name === 'ipv4' ? 4 : 6));
}
