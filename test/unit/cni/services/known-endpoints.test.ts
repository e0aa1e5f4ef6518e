import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EndpointSlice } from '../../../../cni/kube/endpoint-slice.ts';
import { knownEndpoints, type EndpointQuery } from '../../../../cni/services/known-endpoints.ts';
import { readSlice, refusedEndpoints } from '../../../../cni/services/known-slice.ts';
import { endpoint, endpointText, NOT_READY, refusalText, slice, TERMINATING } from './values.ts';

const QUERY: EndpointQuery = {
  portName: 'http',
  protocol: 6,
  family: 4,
  nodeName: 'node-1',
  isCluster: () => false,
  ipv4: new Map(),
};

const read = (slices: readonly EndpointSlice[]): ReturnType<typeof readSlice>[] =>
  slices.map((each, i) => readSlice(`shop/slice-${i}`, each));

/** Returns the known endpoints, each with its state. */
const know = (slices: readonly EndpointSlice[], query: Partial<EndpointQuery> = {}): string[] =>
  knownEndpoints(read(slices), { ...QUERY, ...query }).map(
    ({ endpoint: each, state }) => `${endpointText(each)} ${state}`,
  );

const refused = (slices: readonly EndpointSlice[], isCluster = QUERY.isCluster): string[] =>
  refusedEndpoints('shop/web', read(slices), isCluster).map(refusalText);

suite('which endpoints a port has', () => {
  test('those of slices whose port has its name and protocol', () => {
    const given = slice('web', ['10.20.0.1'], {
      ports: [
        { name: 'http', protocol: 'UDP', port: 1 },
        { name: 'HTTP', protocol: 'TCP', port: 2 },
        { name: '', protocol: 'TCP', port: 3 },
        { name: 'http', protocol: 'TCP', port: 8080 },
      ],
    });
    assert.deepEqual(know([given]), ['10.20.0.1 8080 ready']);
    assert.deepEqual(know([given], { protocol: 17 }), ['10.20.0.1 1 ready']);
    assert.deepEqual(know([given], { portName: '' }), ['10.20.0.1 3 ready']);
    assert.deepEqual(know([given], { protocol: 132 }), []);
  });

  test('a port may have another number in each slice (a named port of pods)', () => {
    const other = slice('web', ['10.20.0.2'], { ports: [{ name: 'http', protocol: 'TCP', port: 9090 }] });
    assert.deepEqual(know([slice('web', ['10.20.0.1']), other]), [
      '10.20.0.1 8080 ready',
      '10.20.0.2 9090 ready',
    ]);
  });

  test('a port without a number gives none, and is no mistake', () => {
    const given = slice('web', ['10.20.0.1'], {
      ports: [{ name: 'http', protocol: 'TCP', port: undefined }],
    });
    assert.deepEqual([know([given]), refused([given])], [[], []]);
  });

  test('slices of the family that is asked for', () => {
    const six = slice('web', ['fd00::2'], { family: 6 });
    const names = slice('web', ['db.example.com'], { family: undefined });
    const all = [slice('web', ['10.20.0.1']), six, names];
    assert.deepEqual(know(all), ['10.20.0.1 8080 ready']);
    assert.deepEqual(know(all, { family: 6 }), ['fd00::2 8080 ready']);
    assert.deepEqual(refused(all), []);
  });

  test('only the first address of an endpoint, and none of an endpoint without one', () => {
    const two = { ...endpoint(''), addresses: ['10.20.0.2', '10.20.0.1'] };
    const none = { ...endpoint(''), addresses: [] };
    assert.deepEqual(know([slice('web', [two, none])]), ['10.20.0.2 8080 ready']);
  });

  test('sorted by address as a number, then by port', () => {
    const given = slice('web', ['10.20.0.10', '10.20.0.9'], {
      ports: [
        { name: 'http', protocol: 'TCP', port: 90 },
        { name: 'http', protocol: 'TCP', port: 80 },
      ],
    });
    assert.deepEqual(know([given]), [
      '10.20.0.9 80 ready',
      '10.20.0.9 90 ready',
      '10.20.0.10 80 ready',
      '10.20.0.10 90 ready',
    ]);
  });
});

suite('the state of an endpoint', () => {
  const state = (more: Partial<ReturnType<typeof endpoint>>): string =>
    know([slice('web', [endpoint('10.20.0.1', more)])])
      .join()
      .split(' ')
      .at(-1) ?? '';

  test('ready counts, whatever else is said (publishNotReadyAddresses)', () => {
    assert.equal(state({ ready: true, serving: false, terminating: true }), 'ready');
  });

  test('serving counts only while it ends', () => {
    assert.equal(state(TERMINATING), 'terminating');
    assert.equal(state({ ready: false, serving: true, terminating: false }), 'not-ready');
    assert.equal(state({ ready: false, serving: false, terminating: true }), 'not-ready');
    assert.equal(state(NOT_READY), 'not-ready');
  });
});

suite('an endpoint in several slices counts once', () => {
  const one = (...each: Partial<ReturnType<typeof endpoint>>[]): ReturnType<typeof knownEndpoints> =>
    knownEndpoints(read(each.map((more) => slice('web', [endpoint('10.20.0.1', more)]))), QUERY);

  test('ready wins over terminating, that over not ready', () => {
    assert.deepEqual(
      one(NOT_READY, {}, TERMINATING).map((each) => each.state),
      ['ready'],
    );
    assert.deepEqual(
      one(NOT_READY, TERMINATING).map((each) => each.state),
      ['terminating'],
    );
  });

  test('of equal ones that of this node, else the first slice', () => {
    const names = (...nodes: string[]): (string | undefined)[] =>
      one(...nodes.map((nodeName) => ({ nodeName }))).map((each) => each.endpoint.nodeName);
    assert.deepEqual(names('node-3', 'node-1', 'node-2'), ['node-1']);
    assert.deepEqual(names('node-3', 'node-2'), ['node-3']);
  });

  test('another port at the same address is another endpoint', () => {
    const other = slice('web', ['10.20.0.1'], { ports: [{ name: 'http', protocol: 'TCP', port: 81 }] });
    assert.equal(know([slice('web', ['10.20.0.1']), other]).length, 2);
  });
});

suite('endpoints that are left out, and named', () => {
  const WRONG = [
    ['127.0.0.1', 'the endpoint 127.0.0.1 in EndpointSlice shop/slice-0 is a loopback address'],
    ['224.0.0.5', 'the endpoint 224.0.0.5 in EndpointSlice shop/slice-0 is a multicast address'],
    ['0.0.0.0', 'the endpoint 0.0.0.0 in EndpointSlice shop/slice-0 is the unspecified address'],
    ['169.254.169.254', 'the endpoint 169.254.169.254 in EndpointSlice shop/slice-0 is a link-local address'],
    ['fd00::1', 'the endpoint fd00::1 in EndpointSlice shop/slice-0 is not an IPv4 address'],
    ['\u0007', String.raw`the endpoint "\u0007" in EndpointSlice shop/slice-0 is not an IP address`],
    [
      '10.20.0.0/24',
      'the endpoint "10.20.0.0/24" in EndpointSlice shop/slice-0 is a subnet, not one address',
    ],
  ] as const;
  for (const [text, expected] of WRONG)
    test(JSON.stringify(text), () => {
      const given = slice('web', [text, '10.20.0.1']);
      assert.deepEqual(know([given]), ['10.20.0.1 8080 ready']);
      assert.deepEqual(refused([given]), [`shop/web: ${expected}`]);
    });

  test("a Service's cluster address", () => {
    const isCluster: EndpointQuery['isCluster'] = ({ value }) => value === 0x0a600001n;
    const given = slice('web', ['10.96.0.1', '10.20.0.1']);
    assert.deepEqual(know([given], { isCluster }), ['10.20.0.1 8080 ready']);
    assert.deepEqual(refused([given], isCluster), [
      "shop/web: the endpoint 10.96.0.1 in EndpointSlice shop/slice-0 is a Service's cluster IP",
    ]);
  });

  test('ports that are none', () => {
    const given = slice('web', ['10.20.0.1'], { ports: [{ name: 'http', protocol: 'TCP', port: 0 }] });
    assert.deepEqual(know([given]), []);
    assert.match(
      refused([given]).join(),
      /the number 0 of port "http" in EndpointSlice shop\/slice-0 is not a number/,
    );
  });
});
