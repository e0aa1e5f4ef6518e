import * as v from 'valibot';
import { invalid, messageOf } from '../model/errors.ts';
import { decodeValue, shorten, withoutNullMembers } from '../records/decode.ts';

/**
 * How cellnet finds etcd and the node's components. The same keys exist in
 * `/etc/cellnet/config.json`, inline in the network configuration, as `CELLNET_…` variables and as
 * cnictl flags. A flag wins over the environment, that over inline, and that over the file.
 */
const text = v.pipe(v.string(), v.nonEmpty('a text that is not empty'));
/** The documented smallest configuration spells unused keys as `""`: they count as absent. */
const optionalText = v.optional(
  v.pipe(
    v.string(),
    v.transform((value) => (value === '' ? undefined : value)),
  ),
);

export const etcdSchema = v.strictObject({
  endpoints: v.optional(v.array(text)),
  prefix: optionalText,
  caFile: optionalText,
  certFile: optionalText,
  keyFile: optionalText,
  username: optionalText,
  passwordFile: optionalText,
});

/** Files for an `ssl:` remote. */
export const ovsdbTlsSchema = v.strictObject({
  caFile: optionalText,
  certFile: optionalText,
  keyFile: optionalText,
});

export const agentSchema = v.union([v.literal(false), text], 'false, or the path of the agent socket');

/** A larger value would be a typing error. */
const LONGEST_MS = 3_600_000;
const milliseconds = v.pipe(
  v.number(),
  v.check(
    (n) => Number.isInteger(n) && n >= 0 && n <= LONGEST_MS,
    `a whole number of milliseconds, 0 to ${LONGEST_MS}`,
  ),
);

const reconcileSchema = v.strictObject({
  intervalMs: v.optional(milliseconds),
  graceMs: v.optional(milliseconds),
});

/** Where the agent serves metrics beyond its node. The agent alone reads it. */
const metricsSchema = v.strictObject({
  listen: optionalText,
  certFile: optionalText,
  keyFile: optionalText,
  clientCaFile: optionalText,
  tokenFile: optionalText,
  plainHttp: v.optional(v.boolean()),
});

const sharedSchema = v.strictObject({
  etcd: v.optional(etcdSchema),
  node: optionalText,
  bridge: optionalText,
  ovsdb: optionalText,
  ovsdbTls: v.optional(ovsdbTlsSchema),
  agent: v.optional(agentSchema),
  kubeconfig: optionalText,
  reconcile: v.optional(reconcileSchema),
  metrics: v.optional(metricsSchema),
  services: v.optional(v.boolean()),
  sourceCheck: v.optional(v.boolean()),
  masqueradeForwarded: v.optional(v.boolean()),
});

export type PartialEtcd = v.InferOutput<typeof etcdSchema>;
export type PartialSettings = v.InferOutput<typeof sharedSchema>;
export type PartialMetrics = v.InferOutput<typeof metricsSchema>;
export type OvsdbTls = v.InferOutput<typeof ovsdbTlsSchema>;

export const DEFAULT_CONFIG_FILE = '/etc/cellnet/config.json';
export const DEFAULT_STATE_DIR = '/var/lib/cellnet';
export const DEFAULT_BRIDGE = 'br-cell';
export const DEFAULT_OVSDB = 'unix:/var/run/openvswitch/db.sock';
export const DEFAULT_AGENT = '/run/cellnet/agent.sock';
/** How often the agent reconciles its node, in milliseconds; 0: never. */
export const DEFAULT_RECONCILE_INTERVAL_MS = 60_000;
/** Minimum time between two observations that prove a leak, in milliseconds. */
export const DEFAULT_RECONCILE_GRACE_MS = 30_000;
export const DEFAULT_PREFIX = '/cellnet';
export const DEFAULT_ENDPOINTS: readonly string[] = ['http://127.0.0.1:2379'];

/**
 * A key that is null counts as absent.
 * @throws IpamError `invalid`, naming the file and the key
 */
export function parseSharedConfig(content: string, file: string): PartialSettings {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (cause) {
    throw invalid(`${file} is not JSON: ${messageOf(cause)}`);
  }
  const result = decodeValue(sharedSchema, withoutNullMembers(json));
  if (!result.ok) throw invalid(`${file}: ${result.problem.message}`);
  return result.value;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings from the environment. An empty variable counts as absent.
 * @throws IpamError `invalid` for a number, true or false that is none
 */
export function settingsFromEnvironment(env: Environment): PartialSettings {
  const get = (name: string): string | undefined => env[name] || undefined;
  const agent = get('CELLNET_AGENT');
  return {
    etcd: {
      endpoints: get('CELLNET_ETCD_ENDPOINTS')
        ?.split(',')
        .map((each) => each.trim()),
      prefix: get('CELLNET_ETCD_PREFIX'),
      caFile: get('CELLNET_ETCD_CA_FILE'),
      certFile: get('CELLNET_ETCD_CERT_FILE'),
      keyFile: get('CELLNET_ETCD_KEY_FILE'),
      username: get('CELLNET_ETCD_USERNAME'),
      passwordFile: get('CELLNET_ETCD_PASSWORD_FILE'),
    },
    node: get('CELLNET_NODE'),
    bridge: get('CELLNET_BRIDGE'),
    ovsdb: get('CELLNET_OVSDB'),
    ovsdbTls: {
      caFile: get('CELLNET_OVSDB_CA_FILE'),
      certFile: get('CELLNET_OVSDB_CERT_FILE'),
      keyFile: get('CELLNET_OVSDB_KEY_FILE'),
    },
    agent: agent === 'false' ? false : agent,
    kubeconfig: get('KUBECONFIG'),
    reconcile: {
      intervalMs: millisecondsIn(env, 'CELLNET_RECONCILE_INTERVAL_MS'),
      graceMs: millisecondsIn(env, 'CELLNET_RECONCILE_GRACE_MS'),
    },
    metrics: {
      listen: get('CELLNET_METRICS_LISTEN'),
      certFile: get('CELLNET_METRICS_CERT_FILE'),
      keyFile: get('CELLNET_METRICS_KEY_FILE'),
      clientCaFile: get('CELLNET_METRICS_CLIENT_CA_FILE'),
      tokenFile: get('CELLNET_METRICS_TOKEN_FILE'),
      plainHttp: booleanIn(env, 'CELLNET_METRICS_PLAIN_HTTP'),
    },
    services: booleanIn(env, 'CELLNET_SERVICES'),
    sourceCheck: booleanIn(env, 'CELLNET_SOURCE_CHECK'),
    masqueradeForwarded: booleanIn(env, 'CELLNET_MASQUERADE_FORWARDED'),
  };
}

function millisecondsIn(env: Environment, name: string): number | undefined {
  const text = env[name] || undefined;
  if (text === undefined) return undefined;
  const result = decodeValue(milliseconds, /^\d+$/.test(text) ? Number(text) : text);
  if (result.ok) return result.value;
  throw invalid(`${name} is ${shorten(text)}: expected a whole number of milliseconds, 0 to ${LONGEST_MS}`);
}

function booleanIn(env: Environment, name: string): boolean | undefined {
  const text = env[name] || undefined;
  if (text === undefined) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw invalid(`${name} is ${shorten(text)}: expected true or false`);
}

/** Takes each key from the first layer that has it. */
export function mergeSettings(layers: readonly PartialSettings[]): PartialSettings {
  const first = <T>(pick: (layer: PartialSettings) => T | undefined): T | undefined => {
    for (const layer of layers) {
      const value = pick(layer);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  return {
    etcd: {
      endpoints: first((layer) => layer.etcd?.endpoints),
      prefix: first((layer) => layer.etcd?.prefix),
      caFile: first((layer) => layer.etcd?.caFile),
      certFile: first((layer) => layer.etcd?.certFile),
      keyFile: first((layer) => layer.etcd?.keyFile),
      username: first((layer) => layer.etcd?.username),
      passwordFile: first((layer) => layer.etcd?.passwordFile),
    },
    node: first((layer) => layer.node),
    bridge: first((layer) => layer.bridge),
    ovsdb: first((layer) => layer.ovsdb),
    ovsdbTls: {
      caFile: first((layer) => layer.ovsdbTls?.caFile),
      certFile: first((layer) => layer.ovsdbTls?.certFile),
      keyFile: first((layer) => layer.ovsdbTls?.keyFile),
    },
    agent: first((layer) => layer.agent),
    kubeconfig: first((layer) => layer.kubeconfig),
    reconcile: {
      intervalMs: first((layer) => layer.reconcile?.intervalMs),
      graceMs: first((layer) => layer.reconcile?.graceMs),
    },
    metrics: {
      listen: first((layer) => layer.metrics?.listen),
      certFile: first((layer) => layer.metrics?.certFile),
      keyFile: first((layer) => layer.metrics?.keyFile),
      clientCaFile: first((layer) => layer.metrics?.clientCaFile),
      tokenFile: first((layer) => layer.metrics?.tokenFile),
      plainHttp: first((layer) => layer.metrics?.plainHttp),
    },
    services: first((layer) => layer.services),
    sourceCheck: first((layer) => layer.sourceCheck),
    masqueradeForwarded: first((layer) => layer.masqueradeForwarded),
  };
}

const NODE_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i;

/**
 * Checks a node's name. It is part of etcd keys, so it must be a DNS subdomain (RFC 1123), as in
 * Kubernetes.
 * @throws IpamError `invalid`
 */
export function checkNodeName(node: string): string {
  if (NODE_NAME.test(node)) return node;
  throw invalid(`node '${node}': expected a host name of letters, digits, '-' and '.', at most 253 long`);
}
