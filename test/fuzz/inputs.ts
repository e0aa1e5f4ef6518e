/** Malformed environments and configurations: valid ones with a few changes, and random noise. */
import fc from 'fast-check';
import type { Input, Plugin } from '../../cni/protocol/invocation.ts';
import { VERBS } from '../../cni/protocol/request.ts';

export interface FuzzInput extends Input {
  readonly plugin: Plugin;
}

/**
 * Values that often break parsers: wrong types, paths, control characters, names of
 * Object.prototype and extreme sizes.
 */
const hostileTexts = [
  '',
  ' ',
  '../../etc/passwd',
  '/',
  '.',
  '..',
  '-rf',
  'a'.repeat(16),
  'a'.repeat(5000),
  '\u0000',
  '\n',
  '\u001b[31m',
  '\u202e',
  '\ud800',
  '💥',
  '__proto__',
  'constructor',
  'toString',
  '${PATH}',
  '$(reboot)',
  '`id`',
  '%s%n',
  '"',
  '\\',
  'null',
  'NaN',
  '0',
  '-1',
  '1e309',
  '010.0.0.1',
  '10.20.0.0/33',
  '10.20.0.999',
  '10.20.0.17/22',
  'fd00::1%eth0',
  '::/129',
  '00:00:00:00:00:00',
  'ff:ff:ff:ff:ff:ff',
  'unix:',
  'unix:relative',
  'tcp:[::1]:99999',
  'ssl:host:6640',
  'http://',
  'https://user:pw@host:2379',
  '1.1.0',
  '1.1',
  '0.2.0',
  '9.9.9',
];
const hostileNumbers = [0, -1, 1.5, 4094, 4095, 65535, 65536, 2 ** 31, 2 ** 53, 1e300, -0];

const text = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...hostileTexts) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
);
const json: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: text },
  { weight: 3, arbitrary: fc.constantFrom(...hostileNumbers, true, false, null) },
  { weight: 1, arbitrary: fc.constantFrom([], {}, [[]], [null], [{}], { a: { b: { c: [] } } }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

const result = {
  cniVersion: '1.1.0',
  interfaces: [
    { name: 'cell0123456789a', mac: '02:00:00:00:00:01' },
    { name: 'eth0', mac: '0a:58:0a:14:00:11', mtu: 1500, sandbox: '/pod' },
  ],
  ips: [{ address: '10.20.0.17/22', gateway: '10.20.0.1', interface: 1 }],
  routes: [{ dst: '0.0.0.0/0', gw: '10.20.0.1', mtu: 1400, advmss: 1300, priority: 1, table: 254, scope: 0 }],
  dns: { nameservers: ['10.20.0.2'] },
};

/** Contains every key that the parsers read. */
const whole: Record<string, unknown> = {
  cniVersion: '1.1.0',
  name: 'cell',
  type: 'cellnet',
  bridge: 'br-cell',
  mtu: 1500,
  vlan: 120,
  ovsdb: 'unix:/var/run/openvswitch/db.sock',
  ovsdbTls: { caFile: '/ca.pem', certFile: '/cert.pem', keyFile: '/key.pem' },
  trunk: [42, { id: 43 }, { minID: 100, maxID: 120 }],
  ofport_request: 7,
  externalIds: { team: 'blue' },
  mirrors: [{ name: 'ids', ingress: true, egress: false }],
  createBridge: { datapathType: 'netdev' },
  gratuitousArp: { count: 3, intervalMs: 100 },
  addressProbe: { count: 1, intervalMs: 10 },
  agent: false,
  args: { cni: { ips: ['10.20.1.7'], mac: '02:00:00:00:00:07' } },
  capabilities: { ips: true, mac: true, bandwidth: true },
  runtimeConfig: { ips: ['10.20.1.7/22'], mac: '02:00:00:00:00:07', bandwidth: { ingressRate: 0 } },
  prevResult: result,
  dns: {},
  disableCheck: false,
  disableGC: false,
  'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
  'cni.dev/attachments': [],
  ipam: {
    type: 'cellnet-ipam',
    etcd: {
      endpoints: ['http://127.0.0.1:2379'],
      prefix: '/cellnet',
      caFile: '',
      certFile: '',
      keyFile: '',
      username: '',
      passwordFile: '',
    },
    node: 'node-1',
    ranges: ['blue'],
    families: ['ipv4'],
  },
};
/** Omits keys that only one verb uses, so that most calls reach the later stages. */
const plain = Object.fromEntries(
  Object.entries(whole).filter(
    ([key]) => !['args', 'runtimeConfig', 'prevResult', 'createBridge'].includes(key),
  ),
);
/** Covers the parsers of requested addresses and MACs. */
const wishing = {
  cniVersion: '1.0.0',
  name: 'cell',
  type: 'cellnet',
  args: { cni: { ips: ['10.20.1.7', 'fd00::7'], mac: 'C2:11:22:33:44:55' } },
  runtimeConfig: { ips: ['10.20.1.8'], mac: '02:00:00:00:00:08', bandwidth: { egressRate: 1 } },
  ipam: { type: 'cellnet-ipam' },
};
const smallest = { cniVersion: '1.1.0', name: 'cell', type: 'cellnet', ipam: { type: 'cellnet-ipam' } };
/** Uses the short forms of options. */
const short = {
  ...smallest,
  gratuitousArp: false,
  addressProbe: true,
  createBridge: true,
  trunk: [{ minID: 4, maxID: 2 }],
  ipam: { type: 'cellnet-ipam', families: ['ipv6'] },
  runtimeConfig: { ips: ['10.20.1.7', '10.20.1.8'] },
};

const sharedConfig = { etcd: { endpoints: ['http://127.0.0.1:2379'] }, node: 'node-1', bridge: 'br-cell' };

type Change = (value: unknown) => unknown;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Walks down to one place of the value and replaces it, removes it, wraps it or adds a sibling. */
const change: fc.Arbitrary<Change> = fc
  .record({
    path: fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }),
    how: fc.constantFrom('replace', 'remove', 'add', 'wrap'),
    key: text,
    value: json,
  })
  .map(
    ({ path, how, key, value }) =>
      (root) =>
        applyAt(root, path, how, key, value),
  );

const applyAt = (
  root: unknown,
  [at, ...rest]: readonly number[],
  how: string,
  key: string,
  value: unknown,
): unknown => {
  const entries = Array.isArray(root)
    ? root.map((each, i) => [i, each] as const)
    : Object.entries(root as object);
  const chosen = at === undefined ? undefined : entries[at % Math.max(entries.length, 1)];
  if (!chosen) return value;
  const [name, child] = chosen;
  const deeper = rest.length > 0 && typeof child === 'object' && child !== null;
  const copy = (Array.isArray(root) ? [...(root as unknown[])] : { ...(root as object) }) as Record<
    string,
    unknown
  >;
  if (deeper) copy[name] = applyAt(child, rest, how, key, value);
  else if (how === 'replace') copy[name] = value;
  else if (how === 'wrap') copy[name] = [child];
  else if (how === 'remove') Reflect.deleteProperty(copy, name);
  else if (Array.isArray(copy)) copy.push(value);
  else Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true });
  return copy;
};

const changed = (values: readonly unknown[], most: number): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.constantFrom(...values), fc.array(change, { minLength: 0, maxLength: most }))
    .map(([value, changes]) =>
      changes.reduce<unknown>((each, apply) => (isObject(each) ? apply(each) : each), value),
    );

/** The text of a configuration: mostly JSON that is almost right, else truncated JSON or noise. */
const document = (values: readonly unknown[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 20, arbitrary: changed(values, 3).map((value) => JSON.stringify(value)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(changed(values, 1), fc.nat(400))
        .map(([value, length]) => JSON.stringify(value).slice(0, length)),
    },
    { weight: 1, arbitrary: fc.jsonValue().map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: text },
    {
      weight: 1,
      arbitrary: fc.constantFrom('['.repeat(5000), `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`, '\ufeff{}'),
    },
  );

const argumentsText = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      undefined,
      'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u-1',
      'IgnoreUnknown=1;IP=10.20.1.9;MAC=02:00:00:00:00:09',
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(
        fc.tuple(
          fc.oneof(fc.constantFrom('IgnoreUnknown', 'K8S_POD_NAME', 'K8S_POD_UID', 'IP', 'MAC', 'FOO'), text),
          fc.oneof(fc.constantFrom('1', 'web', '10.20.1.7', '02:00:00:00:00:07'), text),
        ),
        { maxLength: 4 },
      )
      .map((pairs) => pairs.map(([key, value]) => `${key}=${value}`).join(';')),
  },
  { weight: 1, arbitrary: text },
);

/** A variable that is mostly right, sometimes hostile, sometimes absent. */
const variable = (...right: string[]): fc.Arbitrary<string | undefined> =>
  fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...right) },
    { weight: 1, arbitrary: text },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );

const environment = fc.record(
  {
    CNI_COMMAND: variable(...VERBS),
    CNI_CONTAINERID: variable('c1', 'c2', 'c3'),
    CNI_NETNS: variable('/pod', '/pod', '/host'),
    CNI_IFNAME: variable('eth0', 'net1'),
    CNI_PATH: variable('/plugins'),
    CNI_ARGS: argumentsText,
    CELLNET_NODE: text,
    CELLNET_OVSDB: text,
    CELLNET_BRIDGE: text,
    CELLNET_AGENT: fc.oneof(fc.constant('false'), text),
    CELLNET_ETCD_ENDPOINTS: text,
    CELLNET_ETCD_PREFIX: text,
    CELLNET_RECONCILE_GRACE_MS: fc.oneof(fc.constant('30000'), text),
    CELLNET_METRICS_PLAIN_HTTP: fc.oneof(fc.boolean().map(String), text),
  },
  { requiredKeys: ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'] },
);

/**
 * Keeps at most one CELLNET_ variable, because hardly any call would succeed with all of them
 * random.
 */
const thinned = fc.tuple(environment, fc.nat(30)).map(([env, keep]) => {
  const ours = Object.keys(env).filter((key) => key.startsWith('CELLNET_'));
  const gone = ours.filter((_, i) => keep !== i);
  return Object.fromEntries(Object.entries(env).filter(([key]) => !gone.includes(key)));
});

export const fuzzInput: fc.Arbitrary<FuzzInput> = fc.record({
  plugin: fc.constantFrom<Plugin>('cellnet', 'cellnet', 'cellnet-ipam'),
  env: thinned,
  stdin: document([whole, plain, plain, smallest, wishing, short]),
  sharedConfig: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: document([sharedConfig]).map((content) => ({ content, file: '/etc/cellnet/config.json' })),
    },
  ),
});
