import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { endpoint } from '../../support/kube-api.ts';
import { startPodProcess } from '../../support/pod-process.ts';
import { eventually, HTTP, makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

suite('which endpoints a pod is connected to', () => {
  let world: ServicesWorld;
  let here: ServicePod;
  let there: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  before(async () => {
    world = await makeServicesWorld();
    const [a, b] = world.nodes;
    [here, there, near, far] = await Promise.all([
      world.pod(a, 'here'),
      world.pod(b, 'there'),
      world.pod(a, 'near'),
      world.pod(b, 'far'),
    ]);
    for (const pod of [near, far]) await pod.process.serve('tcp', pod.ip, 8080, pod.name);
  });
  after(() => world.stop());

  const serversOf = async (pod: ServicePod, address: string): Promise<string[]> =>
    Object.keys(await pod.process.many(address, 80, 40)).sort();
  const both = (more: (zone: string, node: string) => object = () => ({})): object[] => {
    const [a, b] = world.nodes;
    const at = (pod: ServicePod, node: string): object =>
      endpoint(pod.ip, { nodeName: node, ...more(`zone-${node}`, node) });
    return [at(near, a.nodeName), at(far, b.nodeName)];
  };

  test('internalTrafficPolicy Local: those of its own node only, or none', async () => {
    const service = { name: 'local', ip: '10.96.1.1', spec: { internalTrafficPolicy: 'Local' } };
    await world.serve({ ...service, endpoints: both() });
    assert.deepEqual(await serversOf(here, '10.96.1.1'), ['near']);
    assert.deepEqual(await serversOf(there, '10.96.1.1'), ['far']);
    await world.endpoints('local', both().slice(1));
    assert.deepEqual(await serversOf(here, '10.96.1.1'), ['ECONNREFUSED']);
    assert.deepEqual(await serversOf(there, '10.96.1.1'), ['far']);
  });

  for (const [what, hints] of [
    ['zone', (zone: string) => ({ hints: { forZones: [{ name: zone }] } })],
    ['node', (_: string, node: string) => ({ hints: { forNodes: [{ name: node }] } })],
  ] as const) {
    test(`topology hints: those of its own ${what}`, async () => {
      await world.serve({ name: 'hints', ip: '10.96.1.2', endpoints: both(hints) });
      assert.deepEqual(await serversOf(here, '10.96.1.2'), ['near']);
      assert.deepEqual(await serversOf(there, '10.96.1.2'), ['far']);
      // Hints that are not complete are not followed.
      await world.endpoints('hints', [...both(hints).slice(0, 1), ...both().slice(1)]);
      assert.deepEqual(await serversOf(here, '10.96.1.2'), ['far', 'near']);
    });
  }

  test('endpoints that end are taken while no other is ready, those that are not ready never', async () => {
    const ends = { conditions: { ready: false, serving: true, terminating: true } };
    const notReady = { conditions: { ready: false, serving: false, terminating: false } };
    await world.serve({
      ...{ name: 'ends', ip: '10.96.1.3' },
      endpoints: [endpoint(near.ip, ends), endpoint(far.ip, notReady)],
    });
    assert.deepEqual(await serversOf(here, '10.96.1.3'), ['near']);
    await world.endpoints('ends', [endpoint(near.ip, ends), endpoint(far.ip)]);
    assert.deepEqual(await serversOf(here, '10.96.1.3'), ['far']);
    await world.endpoints('ends', [endpoint(near.ip, notReady), endpoint(far.ip, notReady)]);
    assert.deepEqual(await serversOf(here, '10.96.1.3'), ['ECONNREFUSED']);
  });

  test("an endpoint on a host's network, such as the API server", async () => {
    const host = startPodProcess(world.fabric.ns);
    try {
      await host.serve('tcp', '172.30.0.1', 6443, 'host');
      await world.serve({
        ...{ name: 'kubernetes', ip: '10.96.0.1', endpoints: [endpoint('172.30.0.1')] },
        endpointPorts: [{ name: 'http', protocol: 'TCP', port: 6443 }],
      });
      const answer = await here.process.ask('tcp', '10.96.0.1', 80);
      assert.deepEqual([answer.name, answer.seen], ['host', here.ip]);
      // The gateway's own address is no pod's, though it is in the range.
      await host.serve('tcp', '10.20.0.1', 8080, 'gateway');
      await world.serve({ name: 'gateway', ip: '10.96.1.4', endpoints: [endpoint('10.20.0.1')] });
      assert.equal((await here.process.ask('tcp', '10.96.1.4', 80)).name, 'gateway');
    } finally {
      await host.stop();
    }
  });

  test('2,000 endpoints of one Service', async () => {
    const nobody = (i: number): string => `192.0.${i >> 8}.${i & 255}`;
    const many = Array.from({ length: 1_998 }, (_, i) => endpoint(nobody(i + 512)));
    await world.serve({ name: 'many', ip: '10.96.1.5', endpoints: [...many, ...both()] });
    const [a] = world.nodes;
    const groups = await a.ovs.ofctl('-O', 'OpenFlow15', 'dump-group-stats', 'br-cell');
    assert.equal(Math.max(...groups.split('\n').map((line) => line.split(/bucket\d+:/).length - 1)), 2_000);
    await world.endpoints('many', both());
    assert.deepEqual(await serversOf(here, '10.96.1.5'), ['far', 'near']);
  });

  test('a Service that moves to another cluster address, and back', async () => {
    await world.serve({ name: 'moves', ip: '10.96.1.6', endpoints: both() });
    await world.serve({ name: 'moves', ip: '10.96.1.7', endpoints: both() });
    assert.deepEqual(await serversOf(here, '10.96.1.7'), ['far', 'near']);
    assert.equal((await here.process.ask('tcp', '10.96.1.6', 80, 300)).name, undefined);
    await world.serve({ name: 'moves', ip: '10.96.1.6', endpoints: both() });
    assert.deepEqual(await serversOf(here, '10.96.1.6'), ['far', 'near']);
  });

  test('a Service that goes: its open connections go on, new ones are refused', async () => {
    const { process } = here;
    const spec = { externalIPs: ['203.0.113.21'] };
    await world.serve({ name: 'goes', ip: '10.96.1.10', spec, endpoints: both() });
    const servers = [];
    for (const [key, address] of [
      ['cluster', '10.96.1.10'],
      ['external', '203.0.113.21'],
    ] as const)
      servers.push((await process.hold(key, address, 80)).name);
    world.api.deleteService('default', 'goes');
    await world.endpoints('goes', []);
    for (const [i, key] of ['cluster', 'external'].entries())
      assert.equal((await process.talk(key)).name, servers[i]);
    assert.equal((await process.ask('tcp', '10.96.1.10', 80)).error, 'ECONNREFUSED');
    // Whose the external address is now nobody knows: the packets go out.
    assert.equal((await process.ask('tcp', '203.0.113.21', 80, 300)).name, undefined);
    await world.serve({ name: 'goes', ip: '10.96.1.10', endpoints: both().slice(0, 1) });
    assert.deepEqual(await serversOf(here, '10.96.1.10'), ['near']);
    assert.equal((await process.talk('cluster')).name, servers[0]);
    for (const key of ['cluster', 'external']) await process.drop(key);
  });

  test('of two Services that claim one external address the first by name has it', async () => {
    const spec = { externalIPs: ['203.0.113.20'] };
    await world.serve({ name: 'second', ip: '10.96.1.9', spec, endpoints: both().slice(1) });
    assert.deepEqual(await serversOf(here, '203.0.113.20'), ['far']);
    await world.serve({ name: 'first', ip: '10.96.1.8', spec, endpoints: both().slice(0, 1) });
    assert.deepEqual(await serversOf(here, '203.0.113.20'), ['near']);
    await eventually(
      () =>
        (world.agents[0]?.logged('part of a Service is not served') ?? []).some(
          ({ service, what }) => service === 'default/second' && String(what).includes('203.0.113.20'),
        ),
      'the log names the other one',
    );
    world.api.putService({ name: 'first', clusterIPs: ['10.96.1.8'], ports: HTTP });
    await world.settled();
    assert.deepEqual(await serversOf(here, '203.0.113.20'), ['far']);
  });
});
