import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, interner } from '../../../../cni/kube/decode.ts';
import {
  decodeEndpointSlice,
  type EndpointSlice,
  type SliceEndpoint,
} from '../../../../cni/kube/endpoint-slice.ts';
import { endpoint, endpointSlice } from '../../../support/kube-api-services.ts';

const decode = (value: unknown): EndpointSlice => decodeEndpointSlice(value, interner());
function one(value: object, addressType = 'IPv4'): SliceEndpoint {
  const { endpoints } = decode(endpointSlice({ name: 'web-1', addressType, endpoints: [value] }));
  assert.equal(endpoints.length, 1);
  return endpoints[0] as SliceEndpoint;
}

test('a slice with a pod', () => {
  const endpoints = [endpoint('10.0.0.1', { zone: 'a', hints: { forZones: [{ name: 'a' }] } })];
  const slice = endpointSlice({ namespace: 'shop', name: 'web-1', uid: 'u1', service: 'web', endpoints });
  assert.deepEqual(decode(slice), {
    namespace: 'shop',
    name: 'web-1',
    uid: 'u1',
    service: 'web',
    family: 4,
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: [
      {
        addresses: ['10.0.0.1'],
        ready: true,
        serving: true,
        terminating: false,
        nodeName: 'node-1',
        zone: 'a',
        hintZones: ['a'],
        hintNodes: undefined,
        podUid: 'uid-10.0.0.1',
      },
    ],
  });
});

test('conditions that are absent', () => {
  const conditions = (value: unknown): readonly boolean[] => {
    const { ready, serving, terminating } = one({ addresses: ['10.0.0.1'], conditions: value });
    return [ready, serving, terminating];
  };
  for (const absent of [undefined, null, {}, { ready: null, serving: null, terminating: null }])
    assert.deepEqual(conditions(absent), [true, true, false]);
  assert.deepEqual(conditions({ ready: false }), [false, false, false]);
  assert.deepEqual(conditions({ ready: false, serving: true, terminating: true }), [false, true, true]);
});

test('an endpoint that is no pod, without node, zone and hints', () => {
  const expected = { nodeName: undefined, zone: undefined, hintZones: undefined, podUid: undefined };
  for (const more of [
    {},
    { nodeName: null, zone: null, hints: null, targetRef: null },
    { zone: '', hints: { forZones: [], forNodes: null }, targetRef: { kind: 'Node', uid: 'n1' } },
    { targetRef: { kind: 'Pod' } },
  ]) {
    const { nodeName, zone, hintZones, podUid } = one({ addresses: ['10.0.0.1'], ...more });
    assert.deepEqual({ nodeName, zone, hintZones, podUid }, expected);
  }
});

test('hints by node', () => {
  const hints = { forNodes: [{ name: 'n1' }, { name: 'n2' }] };
  assert.deepEqual(one({ addresses: ['10.0.0.1'], hints }).hintNodes, ['n1', 'n2']);
});

test('families, and host names', () => {
  const family = (addressType: string): unknown => decode(endpointSlice({ name: 'a', addressType })).family;
  assert.deepEqual(['IPv4', 'IPv6', 'FQDN'].map(family), [4, 6, undefined]);
  assert.deepEqual(one({ addresses: ['FD00::1'] }, 'IPv6').addresses, ['FD00::1']);
  assert.deepEqual(one({ addresses: ['db.example'] }, 'FQDN').addresses, ['db.example']);
});

test('no endpoints, no ports, ports without name or number', () => {
  for (const none of [null, []]) {
    const { endpoints, ports } = decode(endpointSlice({ name: 'a', endpoints: none, ports: none }));
    assert.deepEqual([endpoints, ports], [[], []]);
  }
  const ports = [
    { name: null, port: null, protocol: null },
    { name: 'dns', protocol: 'UDP' },
  ];
  assert.deepEqual(decode(endpointSlice({ name: 'a', ports })).ports, [
    { name: '', protocol: 'TCP', port: undefined },
    { name: 'dns', protocol: 'UDP', port: undefined },
  ]);
});

test('a slice of no Service', () => {
  assert.equal(decode(endpointSlice({ name: 'a' })).service, undefined);
  assert.equal(decode(endpointSlice({ name: 'a', service: '' })).service, undefined);
});

const refused: readonly (readonly [path: string, value: object])[] = [
  ['addressType', { addressType: 'IPX' }],
  ['addressType', { addressType: undefined }],
  ['ports[0].port', { ports: [{ port: 0 }] }],
  ['ports[0].protocol', { ports: [{ protocol: 'ICMP' }] }],
  ['endpoints', { endpoints: {} }],
  ['endpoints[0]', { endpoints: ['10.0.0.1'] }],
  ['endpoints[0].addresses', { endpoints: [{}] }],
  ['endpoints[0].addresses', { endpoints: [{ addresses: [] }] }],
  ['endpoints[0].addresses[0]', { endpoints: [{ addresses: ['10.0.0'] }] }],
  ['endpoints[1].addresses[0]', { endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['fd00::1'] }] }],
  ['endpoints[0].conditions', { endpoints: [{ addresses: ['10.0.0.1'], conditions: [] }] }],
  ['endpoints[0].conditions.ready', { endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: 1 } }] }],
  ['endpoints[0].nodeName', { endpoints: [{ addresses: ['10.0.0.1'], nodeName: 1 }] }],
  [
    'endpoints[0].hints.forZones[0].name',
    { endpoints: [{ addresses: ['10.0.0.1'], hints: { forZones: [{}] } }] },
  ],
  ['endpoints[0].targetRef', { endpoints: [{ addresses: ['10.0.0.1'], targetRef: 'pod' }] }],
];
for (const [path, fields] of refused) {
  test(`refuses ${JSON.stringify(fields)}`, () => {
    assert.throws(
      () => decode({ ...endpointSlice({ name: 'a' }), ...fields }),
      (error) => error instanceof DecodeError && error.path === path,
    );
  });
}
