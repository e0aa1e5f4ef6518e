import * as v from 'valibot';
import { agentSchema, etcdSchema, ovsdbTlsSchema } from '../../ipam/settings/settings.ts';
import { OUR_EXTERNAL_IDS } from './identity.ts';

/** Type of cellnet's IPAM, which runs within the process of the main plugin `cellnet`. */
export const OUR_IPAM = 'cellnet-ipam';
export const DEFAULT_MTU = 1500;
/** Least MTU of a link that carries IPv6, in bytes (RFC 8200 section 5). */
export const IPV6_MIN_MTU = 1280;

/** The number and interval of an attachment's address announcements; none for `count` 0. */
export interface Announcement {
  readonly count: number;
  readonly intervalMs: number;
}

/** The number of probes for an address before its use, and the wait for an answer to each. */
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

/** For network names (CNI SPEC section 1) and for `type`, which becomes a file name. */
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

export const ourIpam = v.strictObject({
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
/** Same form as in ovs-cni: one VLAN ID, or a span of them. */
export const trunkEntry = v.union(
  [vlanId, v.strictObject({ id: vlanId }), v.strictObject({ minID: vlanId, maxID: vlanId })],
  'a VLAN from 1 to 4094, { "id": VLAN } or { "minID": VLAN, "maxID": VLAN }',
);

/** Entries of OVSDB maps. OVSDB's tools print control characters unescaped, so none is allowed. */
const externalIds = v.record(
  v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,62}$/, "letters, digits and '_.:/-', at most 63 characters"),
    v.check((key) => !OUR_EXTERNAL_IDS.includes(key), `a key other than ${OUR_EXTERNAL_IDS.join(', ')}`),
  ),
  v.pipe(v.string(), v.regex(/^\P{Cc}{0,255}$/u, 'at most 255 characters, none a control character')),
);

const mirrorName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'a mirror name of 1 to 64 characters, such as "ids"'),
);
/** `ingress` and `egress` as in ovs-cni's mirror producer; `output` is its mirror consumer. */
const mirrorEntry = v.pipe(
  v.strictObject({
    name: mirrorName,
    ingress: v.optional(v.boolean()),
    egress: v.optional(v.boolean()),
    output: v.optional(v.boolean()),
  }),
  v.check(
    ({ ingress, egress, output }) => ingress === true || egress === true || output === true,
    '"ingress", "egress" or "output" to be true',
  ),
);
type MirrorEntry = v.InferOutput<typeof mirrorEntry>;

const isOutput = ({ output }: MirrorEntry): boolean => output === true;
const isSource = ({ ingress, egress }: MirrorEntry): boolean => ingress === true || egress === true;

const mirrors = v.pipe(
  v.array(mirrorEntry),
  v.nonEmpty('at least one mirror'),
  v.check(
    (entries) => new Set(entries.map(({ name }) => name)).size === entries.length,
    'each mirror name once',
  ),
  v.check(
    (entries) => !(entries.some(isOutput) && entries.some(isSource)),
    'either "output", or "ingress" and "egress": a port that gets copies carries nothing else',
  ),
);

export const createBridge = v.union(
  [v.boolean(), v.strictObject({ datapathType: v.picklist(['system', 'netdev']) })],
  'true, false or { "datapathType": "system" or "netdev" }',
);

/** cellnet's keys of the network configuration. */
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
  sourceCheck: v.optional(v.boolean()),
  allowedAddresses: v.optional(v.array(text)),
  mirrors: v.optional(mirrors),
  ipam: v.optional(anyIpam),
};

/** Keys of the CNI specification, and those that runtimes add. */
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

export const mainSchema = v.strictObject({ ...specKeys, ...ownKeys });
/** The IPAM plugin ignores the keys of the main plugin that calls it. */
export const ipamSchema = v.looseObject({ name: networkName, ipam: v.optional(anyIpam) });

export type OurIpam = v.InferOutput<typeof ourIpam>;
