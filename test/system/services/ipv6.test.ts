import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { endpoint } from '../../support/kube-api.ts';
import { setSysctl } from '../../support/netns.ts';
import { addUsualPods, makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

/** Long before a client that is not refused gives up. */
const AT_ONCE_MS = 500;
const TCP_AND_UDP = [
  { name: 'http', protocol: 'TCP', port: 80 },
  { name: 'dns', protocol: 'UDP', port: 53 },
];
const TCP_AND_UDP_AT = [
  { name: 'http', protocol: 'TCP', port: 8080 },
  { name: 'dns', protocol: 'UDP', port: 53 },
];

suite('IPv6 and dual stack', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  let other: ServicePod;
  before(async () => {
    world = await makeServicesWorld({ ipv6: true });
    ({ client, near, far, other } = await addUsualPods(world));
    for (const pod of [near, far, other, client]) {
      await pod.process.serve('tcp', '::', 8080, pod.name);
      await pod.process.serve('udp', '::', 53, pod.name);
    }
  });
  after(() => world.stop());

  const serve = (ip: string, endpoints: readonly string[]): Promise<void> =>
    world.serve({
      ...{ name: 'web', ip, endpoints: endpoints.map((each) => endpoint(each)) },
      ...{ ports: TCP_AND_UDP, endpointPorts: TCP_AND_UDP_AT },
    });

  for (const [where, pod] of [
    ['on the same node', () => near],
    ['on another node', () => far],
    ['on another VLAN', () => other],
  ] as const) {
    test(`an IPv6 endpoint ${where}, over TCP and UDP`, async () => {
      await serve('fd00:96::10', [pod().ip6]);
      for (const [transport, port] of [
        ['tcp', 80],
        ['udp', 53],
      ] as const) {
        const answer = await client.process.ask(transport, 'fd00:96::10', port);
        assert.deepEqual([answer.name, answer.seen], [pod().name, client.ip6], transport);
      }
    });
  }

  test('of a dual-stack Service, an IPv6 endpoint on another node without the gateway', async () => {
    const uid = { targetRef: { kind: 'Pod', namespace: 'default', name: 'far', uid: far.uid } };
    const forward = (on: 0 | 1): Promise<void> =>
      setSysctl(world.fabric.ns.name, 'net/ipv6/conf/all/forwarding', on);
    await serve('fd00:96::14', [far.ip6]);
    try {
      await forward(0);
      assert.equal((await client.process.ask('tcp', 'fd00:96::14', 80, 500)).name, undefined);
      await world.serve({
        ...{ name: 'both', ip: '10.96.0.13,fd00:96::13' },
        ...{ ports: TCP_AND_UDP, endpointPorts: TCP_AND_UDP_AT },
        endpoints: [endpoint(far.ip, uid), endpoint(far.ip6, uid)],
      });
      assert.equal((await client.process.ask('tcp', 'fd00:96::13', 80)).name, 'far');
      assert.equal((await client.process.ask('udp', 'fd00:96::13', 53)).name, 'far');
    } finally {
      await forward(1);
    }
  });

  test('a pod reaches itself over IPv6', async () => {
    await serve('fd00:96::11', [client.ip6]);
    const answer = await client.process.ask('tcp', 'fd00:96::11', 80);
    assert.deepEqual([answer.name, answer.seen], ['client', 'fd00:ce11::ce11']);
    assert.equal((await client.process.ask('udp', 'fd00:96::11', 53)).seen, 'fd00:ce11::ce11');
  });

  test('over IPv6 connections are refused at once, too', async () => {
    await serve('fd00:96::12', []);
    for (const [transport, port] of [
      ['tcp', 80],
      ['udp', 53],
      ['tcp', 81],
      ['udp', 54],
    ] as const) {
      const answer = await client.process.ask(transport, 'fd00:96::12', port);
      assert.equal(answer.error, 'ECONNREFUSED', `${transport} ${port}: ${JSON.stringify(answer)}`);
      assert.ok((answer.ms ?? Infinity) < AT_ONCE_MS, `${transport} ${port}: ${answer.ms} ms`);
    }
  });

  test('a dual-stack Service: each family goes to its own endpoints', async () => {
    await serve('10.96.0.10,fd00:96::10', [near.ip, far.ip6]);
    const four = await client.process.ask('tcp', '10.96.0.10', 80);
    assert.deepEqual([four.name, four.seen], ['near', `::ffff:${client.ip}`]);
    const six = await client.process.ask('tcp', 'fd00:96::10', 80);
    assert.deepEqual([six.name, six.seen], ['far', client.ip6]);
    await world.endpoints('web', [endpoint(near.ip)], TCP_AND_UDP_AT);
    assert.equal((await client.process.ask('tcp', 'fd00:96::10', 80)).error, 'ECONNREFUSED');
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'near');
  });
});
