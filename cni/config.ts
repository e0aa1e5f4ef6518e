import * as v from 'valibot';
import { messageOf } from '../ipam/errors.ts';
import type { Family } from '../ipam/address.ts';
import { decodeValue, shorten } from '../ipam/decode.ts';
import { agentSchema, etcdSchema, ovsdbTlsSchema, type OvsdbTls } from '../ipam/settings.ts';
import { CniError } from './errors.ts';
import { OUR_EXTERNAL_IDS } from './identity.ts';
import { IF_RESULT, type CniResult } from './result.ts';
import type { Verb } from './request.ts';
import { checkVersion, type CniVersion } from './version.ts';

/** Type of our IPAM: served in this process where `cellnet` is the main plugin. */
export const OUR_IPAM = 'cellnet-ipam';
export const DEFAULT_MTU = 1500;

/** How often an attachment announces its addresses; `count` 0: never. */
export interface Announcement {
  readonly count: number;
  readonly intervalMs: number;
}

/** How often an address is asked for before it is used, and how long an answer is waited for each time. */
export interface AddressProbe {
  readonly count: number;
  readonly intervalMs: number;
}

const text = v.pipe(v.string(), v.nonEmpty('a text that is not empty'));
const whole = (min: number, max: number): v.GenericSchema<number> =>
  v.pipe(
    v.number(),
    v.check((n) => Number.isInteger(n) && n >= min && n <= max, `a whole number from ${min} to ${max}`),
  );

/** SPEC section 1: a network name, and `type`, which becomes a file name. */
const networkName = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/,
    "letters, digits, '_', '.', '-', beginning with a letter or digit, at most 255",
  ),
);

const gratuitousArp = v.union(
  [
    v.boolean(),
    v.strictObject({ count: v.optional(whole(0, 20), 3), intervalMs: v.optional(whole(0, 5000), 100) }),
  ],
  'true, false or { "count": 0 to 20, "intervalMs": 0 to 5000 }',
);

const addressProbe = v.union(
  [
    v.boolean(),
    v.strictObject({ count: v.optional(whole(1, 10), 3), intervalMs: v.optional(whole(10, 2000), 100) }),
  ],
  'true, false or { "count": 1 to 10, "intervalMs": 10 to 2000 }',
);

const ourIpam = v.strictObject({
  type: v.literal(OUR_IPAM),
  etcd: v.optional(etcdSchema),
  node: v.optional(v.string()),
  ranges: v.optional(v.pipe(v.array(text), v.nonEmpty('at least one range name'))),
  families: v.optional(v.pipe(v.array(v.picklist(['ipv4', 'ipv6'])), v.nonEmpty('"ipv4", "ipv6" or both'))),
});

const anyIpam = v.looseObject({ type: networkName });

const bridgeName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, 'a bridge name of 1 to 15 characters'),
);
const remote = v.pipe(
  v.string(),
  v.regex(
    /^(unix:\/.+|(tcp|ssl):(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5})$/,
    "'unix:/PATH', 'tcp:HOST:PORT' or 'ssl:HOST:PORT'",
  ),
);

const vlanId = whole(1, 4094);
/** As of ovs-cni: one VLAN by its ID, or a span of them. */
const trunkEntry = v.union(
  [vlanId, v.strictObject({ id: vlanId }), v.strictObject({ minID: vlanId, maxID: vlanId })],
  'a VLAN from 1 to 4094, { "id": VLAN } or { "minID": VLAN, "maxID": VLAN }',
);

/** What OVSDB's maps hold: no control characters, which its tools would print as they are. */
const externalIds = v.record(
  v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,62}$/, "letters, digits and '_.:/-', at most 63 characters"),
    v.check((key) => !OUR_EXTERNAL_IDS.includes(key), `a key other than ${OUR_EXTERNAL_IDS.join(', ')}`),
  ),
  v.pipe(v.string(), v.regex(/^\P{Cc}{0,255}$/u, 'at most 255 characters, none a control character')),
);

const createBridge = v.union(
  [v.boolean(), v.strictObject({ datapathType: v.picklist(['system', 'netdev']) })],
  'true, false or { "datapathType": "system" or "netdev" }',
);

/** Our keys of the network configuration. */
const ownKeys = {
  bridge: v.optional(bridgeName),
  mtu: v.optional(whole(68, 65535)),
  vlan: v.optional(whole(1, 4094)),
  ovsdb: v.optional(remote),
  ovsdbTls: v.optional(ovsdbTlsSchema),
  trunk: v.optional(v.pipe(v.array(trunkEntry), v.nonEmpty('at least one VLAN'))),
  ofport_request: v.optional(whole(1, 65279)),
  externalIds: v.optional(externalIds),
  createBridge: v.optional(createBridge),
  gratuitousArp: v.optional(gratuitousArp),
  addressProbe: v.optional(addressProbe),
  agent: v.optional(agentSchema),
  ipam: v.optional(anyIpam),
};

/** Keys of the specification, and those that runtimes add. */
const specKeys = {
  cniVersion: v.optional(v.unknown()),
  cniVersions: v.optional(v.unknown()),
  name: networkName,
  type: v.optional(networkName),
  args: v.optional(v.unknown()),
  capabilities: v.optional(v.record(v.string(), v.boolean())),
  runtimeConfig: v.optional(v.unknown()),
  prevResult: v.optional(v.unknown()),
  dns: v.optional(v.looseObject({})),
  disableCheck: v.optional(v.boolean()),
  disableGC: v.optional(v.boolean()),
};

const mainSchema = v.strictObject({ ...specKeys, ...ownKeys });
/** To the IPAM plugin the keys of the main plugin that calls it are not its concern. */
const ipamSchema = v.looseObject({ name: networkName, ipam: v.optional(anyIpam) });

export type OurIpam = v.InferOutput<typeof ourIpam>;

/** One plugin's network configuration, checked. */
export interface NetworkConfig {
  readonly cniVersion: CniVersion;
  readonly name: string;
  readonly bridge: string | undefined;
  readonly mtu: number | undefined;
  readonly vlan: number | undefined;
  readonly ovsdb: string | undefined;
  readonly ovsdbTls: OvsdbTls | undefined;
  /** VLAN IDs that the port carries with their tags, ascending; empty: none beside its own. */
  readonly trunks: readonly number[];
  /** OpenFlow port number to ask vswitchd for. */
  readonly ofportRequest: number | undefined;
  /** To be written beside our own on port and interface. */
  readonly externalIds: Readonly<Record<string, string>>;
  /** Undefined: a missing bridge is an error. */
  readonly createBridge: { readonly datapathType: 'system' | 'netdev' } | undefined;
  readonly announcement: Announcement;
  /** Undefined: addresses are used unasked. */
  readonly addressProbe: AddressProbe | undefined;
  readonly agent: string | false | undefined;
  /** Handed on to the runtime, where IPAM says nothing of it. */
  readonly dns: object | undefined;
  /** Our own IPAM's section, where it is ours. */
  readonly ourIpam: OurIpam | undefined;
  /** Type of the IPAM plugin; undefined where the section is absent. */
  readonly ipamType: string | undefined;
  readonly prevResult: CniResult | undefined;
  /** As it came: what delegates get. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** A configuration, and what of it was left out because it is wrong: only a DEL goes on then. */
export interface ReadConfig {
  readonly config: NetworkConfig;
  readonly complaint: CniError | undefined;
}

/**
 * Reads the configuration of a call. DEL must end a pod also when a key has become wrong since its ADD, which then counts as absent.
 * @throws CniError 6 where it is no JSON object, 1 for the version, 7 naming key, value and what was expected
 */
export function readNetworkConfig(stdin: string, plugin: 'cellnet' | 'cellnet-ipam', verb: Verb): ReadConfig {
  const raw = parseObject(stdin);
  try {
    return { config: parseNetworkConfig(raw, plugin), complaint: undefined };
  } catch (error) {
    if (verb !== 'DEL' || !(error instanceof CniError) || error.kind !== 'invalid-config') throw error;
    return { config: parseNetworkConfig(withoutWrongKeys(raw), plugin), complaint: error };
  }
}

/** Network of a DEL whose configuration has no usable name: it goes by container and interface. */
const NAMELESS = 'unknown';

/** The keys that are right by themselves, of `ipam` at least its type; without `prevResult`, which no DEL of ours needs. */
function withoutWrongKeys(raw: Record<string, unknown>): Record<string, unknown> {
  const right = { name: NAMELESS, ...keepRight(mainSchema.entries, { ...raw, prevResult: undefined }) };
  const { ipam } = right as { readonly ipam?: unknown };
  if (typeof ipam !== 'object' || ipam === null || decodeValue(ourIpam, ipam).ok) return right;
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
  // Keys with a domain, such as `cni.dev/valid-attachments`, are the runtime's.
  const ours = Object.fromEntries(Object.entries(raw).filter(([key]) => !key.includes('/')));
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
    ourIpam: ipam?.type === OUR_IPAM ? decode(ourIpam, ipam, 'ipam.') : undefined,
    ipamType: ipam?.type,
    dns: config.dns,
    prevResult:
      raw['prevResult'] === undefined ? undefined : decode(IF_RESULT, raw['prevResult'], 'prevResult.'),
    raw,
  };
}

/** What the IPAM plugin reads: the rest is the main plugin's, and may be of any type. */
function decodeForIpam(raw: Record<string, unknown>): v.InferOutput<typeof mainSchema> {
  const { name, ipam } = decode(ipamSchema, raw, '');
  return { name, ipam };
}

/** @throws CniError 7 for a span whose ends are the wrong way round */
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

/** `true`: one announcement, which the kernel sends by itself as the interface goes up. */
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

/** @param prefix of the key in what it names @throws CniError 7 naming key, value and what was expected */
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

/** Families of the addresses that an attachment gets; IPv4 where the configuration says nothing. */
export function familiesOf(ipam: OurIpam | undefined): readonly Family[] {
  const names = ipam?.families ?? ['ipv4'];
  return (['ipv4', 'ipv6'] as const)
    .filter((name) => names.includes(name))
    .map((name) => (name === 'ipv4' ? 4 : 6));
}
