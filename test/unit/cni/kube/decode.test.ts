import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, decodeNode, decodePod, interner } from '../../../../cni/kube/decode.ts';
import { hostNetworkPod, node, pod, staticPod } from '../../../support/kube-api-objects.ts';

const decode = (value: unknown): ReturnType<typeof decodePod> => decodePod(value, interner());
/** Returns a pod with the field at `path` set to `value`. Undefined removes the field. */
function withField(path: string, value: unknown): unknown {
  const whole = structuredClone(
    pod({ namespace: 'shop', name: 'web-1', uid: 'u1', node: 'n1', ip: '10.0.0.1' }),
  );
  const keys = path.split('.');
  const last = keys.pop() as string;
  let at: Record<string, unknown> = whole as unknown as Record<string, unknown>;
  for (const key of keys) at = at[key] as Record<string, unknown>;
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
  return whole;
}

test('a running pod', () => {
  assert.deepEqual(decode(pod({ namespace: 'shop', name: 'web-1', uid: 'u1', node: 'n1', ip: '10.0.0.1' })), {
    namespace: 'shop',
    name: 'web-1',
    uid: 'u1',
    nodeName: 'n1',
    phase: 'Running',
    hasRunningContainer: true,
    hostNetwork: false,
    podIPs: ['10.0.0.1'],
    createdAt: '2026-01-31T12:00:00Z',
  });
});

test('a pod that is not scheduled yet has neither node nor address', () => {
  const { nodeName, podIPs, phase } = decode(pod({ name: 'web-1' }));
  assert.deepEqual({ nodeName, podIPs, phase }, { nodeName: undefined, podIPs: [], phase: 'Pending' });
});

test('the mirror of a static pod carries the hash that CNI saw as its UID', () => {
  const mirror = decode(staticPod({ name: 'etcd', node: 'n1', uid: 'mirror', configHash: 'abc123' }));
  assert.deepEqual([mirror.name, mirror.uid, mirror.configHash], ['etcd-n1', 'mirror', 'abc123']);
});

test('host network, end in progress, two families', () => {
  assert.equal(decode(hostNetworkPod({ name: 'proxy', node: 'n1', ip: '192.0.2.1' })).hostNetwork, true);
  assert.equal(
    decode(pod({ name: 'a', deletionTimestamp: '2026-01-31T13:00:00Z' })).deletionTimestamp,
    '2026-01-31T13:00:00Z',
  );
  assert.deepEqual(decode(pod({ name: 'a', ips: ['10.0.0.1', 'fd00::1'] })).podIPs, ['10.0.0.1', 'fd00::1']);
});

test('an IPv6 address has one spelling', () => {
  assert.deepEqual(decode(pod({ name: 'a', ips: ['FD00:0:0::0001'] })).podIPs, ['fd00::1']);
  const twice = withField('status.podIPs', [{ ip: 'fd00::1' }]) as { status: { podIP: string } };
  twice.status.podIP = 'FD00::1';
  assert.deepEqual(decode(twice).podIPs, ['fd00::1']);
});

test('status.podIP counts where podIPs does not hold it', () => {
  assert.deepEqual(decode(withField('status.podIPs', undefined)).podIPs, ['10.0.0.1']);
  assert.deepEqual(decode(withField('status.podIPs', [{ ip: '10.0.0.9' }])).podIPs, ['10.0.0.1', '10.0.0.9']);
});

test('a container of any kind that runs is told, whatever the phase says', () => {
  const failed = pod({ name: 'a', node: 'n1', phase: 'Failed' });
  const decodeWith = (statuses: object): boolean =>
    decode({ ...failed, status: { ...failed.status, ...statuses } }).hasRunningContainer;
  assert.equal(decodeWith({}), false);
  const running = [
    { name: 'a', state: { terminated: {} } },
    { name: 'b', state: { running: {} } },
  ];
  for (const field of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'])
    assert.equal(decodeWith({ [field]: running }), true, field);
  for (const statuses of [
    undefined,
    null,
    [],
    [{ name: 'a' }],
    [{ state: null }],
    [{ state: { running: null } }],
  ])
    assert.equal(decodeWith({ containerStatuses: statuses }), false);
  assert.equal(decode(pod({ name: 'a' })).hasRunningContainer, false, 'not scheduled yet');
});

const refused: readonly (readonly [path: string, value: unknown, named?: string])[] = [
  ['metadata', undefined],
  ['metadata.uid', undefined],
  ['metadata.uid', ''],
  ['metadata.uid', 7],
  ['metadata.name', undefined],
  ['metadata.namespace', undefined],
  ['metadata.creationTimestamp', undefined],
  ['metadata.creationTimestamp', 'yesterday'],
  ['metadata.deletionTimestamp', 'soon'],
  ['metadata.annotations', []],
  [
    'metadata.annotations',
    { 'kubernetes.io/config.hash': 1 },
    "metadata.annotations['kubernetes.io/config.hash']",
  ],
  ['spec', undefined],
  ['spec.nodeName', 1],
  ['spec.hostNetwork', 'true'],
  ['status', undefined],
  ['status', null],
  ['status.phase', undefined],
  ['status.podIPs', {}],
  ['status.podIPs', [{}], 'status.podIPs[0].ip'],
  ['status.podIPs', [{ ip: '10.0.0' }], 'status.podIPs[0].ip'],
  ['status.podIP', 'localhost'],
  ['status.containerStatuses', {}],
  ['status.containerStatuses', ['main'], 'status.containerStatuses[0]'],
  ['status.containerStatuses', [{ state: 'running' }], 'status.containerStatuses[0].state'],
];
for (const [path, value, named = path] of refused) {
  test(`refuses a pod whose ${path} is ${value === undefined ? 'missing' : JSON.stringify(value)}`, () => {
    assert.throws(
      () => decode(withField(path, value)),
      (error) => error instanceof DecodeError && error.path === named,
    );
  });
}

test('namespaces and nodes are kept once', () => {
  const intern = interner();
  const texts = ['a', 'b'].map((name) =>
    decodePod(JSON.parse(JSON.stringify(pod({ name, node: 'n1' }))), intern),
  );
  assert.equal(texts[0]?.nodeName, texts[1]?.nodeName);
  assert.equal(intern('n1'), 'n1');
});

test('a node is ready only when its condition says True', () => {
  assert.deepEqual(decodeNode(node({ name: 'n1', uid: 'u' })), { name: 'n1', uid: 'u', ready: true });
  assert.equal(decodeNode(node({ name: 'n1', ready: false })).ready, false);
  assert.throws(() => decodeNode({ metadata: { name: 'n1' }, status: {} }), DecodeError);
});

test("a node's subnets for its pods", () => {
  const podCIDRs = ['10.244.1.0/24', 'fd00:244::/64'];
  assert.deepEqual(decodeNode(node({ name: 'n1', podCIDRs })).podCIDRs, podCIDRs);
  const bare = node({ name: 'n1' });
  assert.deepEqual(decodeNode({ ...bare, spec: { podCIDR: '10.244.1.0/24' } }).podCIDRs, ['10.244.1.0/24']);
  for (const spec of [
    undefined,
    null,
    {},
    { podCIDR: '' },
    { podCIDRs: [] },
    { podCIDRs: null, podCIDR: null },
  ])
    assert.equal('podCIDRs' in decodeNode({ ...bare, spec }), false);
  for (const spec of [
    { podCIDR: '10.244.1.0' },
    { podCIDRs: ['10.244.1.0/33'] },
    { podCIDRs: ['x/24'] },
    { podCIDR: 7 },
  ])
    assert.throws(() => decodeNode({ ...bare, spec }), DecodeError);
});

test("a node's zone", () => {
  const zoneOf = (labels: unknown): unknown => {
    const { metadata, ...rest } = node({ name: 'n1' });
    return decodeNode({ ...rest, metadata: { ...metadata, labels } }).zone;
  };
  assert.equal(zoneOf({ 'topology.kubernetes.io/zone': 'a' }), 'a');
  for (const labels of [undefined, null, {}, { 'topology.kubernetes.io/zone': '' }])
    assert.equal(zoneOf(labels), undefined);
  assert.throws(() => zoneOf({ 'topology.kubernetes.io/zone': 1 }), DecodeError);
});

test('an interner with a limit forgets', () => {
  const intern = interner(2);
  assert.deepEqual(['a', 'b', 'c', 'a', 'c'].map(intern), ['a', 'b', 'c', 'a', 'c']);
});
