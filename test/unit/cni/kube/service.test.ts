import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, interner } from '../../../../cni/kube/decode.ts';
import { decodeService, type KubeService } from '../../../../cni/kube/service.ts';
import { service } from '../../../support/kube-api-services.ts';

const decode = (value: unknown): KubeService => decodeService(value, interner());
const withSpec = (spec: Record<string, unknown>): KubeService =>
  decode(service({ name: 'web', clusterIPs: ['10.96.0.1'], spec }));
const withStatus = (status: unknown): KubeService =>
  decode({ ...service({ name: 'web', clusterIPs: ['10.96.0.1'] }), status });

test('a Service of two families', () => {
  const clusterIPs = ['10.96.0.1', 'fd00:96::1'];
  assert.deepEqual(decode(service({ namespace: 'shop', name: 'web', uid: 'u1', clusterIPs })), {
    namespace: 'shop',
    name: 'web',
    uid: 'u1',
    type: 'ClusterIP',
    clusterIPs,
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: undefined }],
    affinitySeconds: undefined,
    internalTrafficPolicy: 'Cluster',
    proxyName: undefined,
  });
});

test('a headless Service, and one that is only a name, have no cluster address', () => {
  assert.deepEqual(decode(service({ name: 'db' })).clusterIPs, []);
  const named = withSpec({
    type: 'ExternalName',
    clusterIP: '',
    clusterIPs: undefined,
    ports: null,
    internalTrafficPolicy: null,
  });
  assert.deepEqual([named.type, named.clusterIPs, named.ports], ['ExternalName', [], []]);
});

test('clusterIP counts where an old server wrote no clusterIPs', () => {
  assert.deepEqual(withSpec({ clusterIPs: null }).clusterIPs, ['10.96.0.1']);
});

test('what Go omits or writes as null is absent', () => {
  const bare = decode({
    metadata: { namespace: 'a', name: 'b', uid: 'c', labels: null },
    spec: { ports: [{ port: 53, protocol: 'UDP', name: null, nodePort: 0 }], sessionAffinity: '' },
    status: null,
  });
  assert.deepEqual(bare.ports, [{ name: '', protocol: 'UDP', port: 53, nodePort: undefined }]);
  assert.deepEqual(
    [bare.type, bare.affinitySeconds, bare.internalTrafficPolicy],
    ['ClusterIP', undefined, 'Cluster'],
  );
});

test('ports of nodes, protocols, addresses from outside', () => {
  const { type, ports, externalIPs, loadBalancerSourceRanges } = withSpec({
    type: 'LoadBalancer',
    ports: [
      { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053 },
      { name: 'sctp', protocol: 'SCTP', port: 9 },
    ],
    externalIPs: ['203.0.113.7', '010.0.0.09', 'fd00::7'],
    loadBalancerSourceRanges: [' 198.51.100.0/24 ', 'fd00::/8'],
  });
  assert.equal(type, 'LoadBalancer');
  assert.deepEqual(
    ports.map(({ protocol, nodePort }) => [protocol, nodePort]),
    [
      ['UDP', 30053],
      ['SCTP', undefined],
    ],
  );
  assert.deepEqual(externalIPs, ['203.0.113.7', '10.0.0.9', 'fd00::7']);
  assert.deepEqual(loadBalancerSourceRanges, ['198.51.100.0/24', 'fd00::/8']);
});

test("the load balancer's addresses, without those that it keeps for itself", () => {
  const ingress = [
    { ip: '203.0.113.1' },
    { ip: '203.0.113.2', ipMode: 'VIP' },
    { ip: '203.0.113.3', ipMode: 'Proxy' },
    { hostname: 'lb.example' },
    { ip: '', hostname: 'lb.example' },
  ];
  assert.deepEqual(withStatus({ loadBalancer: { ingress } }).loadBalancerIPs, ['203.0.113.1', '203.0.113.2']);
  for (const status of [undefined, {}, { loadBalancer: null }, { loadBalancer: { ingress: null } }])
    assert.deepEqual(withStatus(status).loadBalancerIPs, []);
});

test('affinity: its time, or three hours', () => {
  const affinity = (config: unknown): number | undefined =>
    withSpec({ sessionAffinity: 'ClientIP', sessionAffinityConfig: config }).affinitySeconds;
  assert.equal(affinity({ clientIP: { timeoutSeconds: 60 } }), 60);
  for (const config of [undefined, null, {}, { clientIP: null }, { clientIP: {} }])
    assert.equal(affinity(config), 10_800);
  assert.equal(withSpec({ sessionAffinity: 'None', sessionAffinityConfig: 7 }).affinitySeconds, undefined);
});

test('the label of another proxy, which may be empty', () => {
  const named = (value: string): string | undefined =>
    decode(service({ name: 'web', labels: { 'service.kubernetes.io/service-proxy-name': value } })).proxyName;
  assert.deepEqual([named('other'), named('')], ['other', '']);
});

const refused: readonly (readonly [path: string, spec: Record<string, unknown>])[] = [
  ['spec.type', { type: 'Magic' }],
  ['spec.clusterIPs', { clusterIPs: '10.0.0.1' }],
  ['spec.clusterIPs[0]', { clusterIPs: ['10.0.0.256'] }],
  ['spec.externalIPs[0]', { externalIPs: ['fe80::1%eth0'] }],
  ['spec.externalIPs[1]', { externalIPs: ['203.0.113.7', ''] }],
  ['spec.loadBalancerSourceRanges[0]', { loadBalancerSourceRanges: ['10.0.0.0'] }],
  ['spec.loadBalancerSourceRanges[0]', { loadBalancerSourceRanges: ['10.0.0.0/33'] }],
  ['spec.loadBalancerSourceRanges[0]', { loadBalancerSourceRanges: ['/8'] }],
  ['spec.loadBalancerSourceRanges[0]', { loadBalancerSourceRanges: ['10.0.0.0/8/8'] }],
  ['spec.ports', { ports: {} }],
  ['spec.ports[0]', { ports: [80] }],
  ['spec.ports[0].port', { ports: [{}] }],
  ['spec.ports[0].port', { ports: [{ port: 0 }] }],
  ['spec.ports[0].port', { ports: [{ port: 65_536 }] }],
  ['spec.ports[0].port', { ports: [{ port: 1.5 }] }],
  ['spec.ports[0].protocol', { ports: [{ port: 80, protocol: 'tcp' }] }],
  ['spec.ports[0].nodePort', { ports: [{ port: 80, nodePort: -1 }] }],
  ['spec.ports[0].name', { ports: [{ port: 80, name: 7 }] }],
  ['spec.sessionAffinity', { sessionAffinity: 'Cookie' }],
  [
    'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
    { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
  ],
  ['spec.internalTrafficPolicy', { internalTrafficPolicy: 'Nearby' }],
];
for (const [path, spec] of refused) {
  test(`refuses ${JSON.stringify(spec)}`, () => {
    assert.throws(
      () => withSpec(spec),
      (error) => error instanceof DecodeError && error.path === path,
    );
  });
}

test('refuses what no Service can be without', () => {
  const { metadata, spec } = service({ name: 'web' });
  for (const value of [
    null,
    7,
    {},
    { metadata },
    { metadata: { ...metadata, uid: '' }, spec },
    { metadata: { ...metadata, name: undefined }, spec },
    { metadata: { ...metadata, namespace: null }, spec },
    { metadata: { ...metadata, labels: { 'service.kubernetes.io/service-proxy-name': 1 } }, spec },
    { metadata, spec, status: { loadBalancer: { ingress: [{ ip: 'lb' }] } } },
    { metadata, spec, status: { loadBalancer: { ingress: [{ ip: '10.0.0.1', ipMode: 'vip' }] } } },
  ])
    assert.throws(() => decode(value), DecodeError);
});
