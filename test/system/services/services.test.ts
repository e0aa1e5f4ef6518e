import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startAgent } from '../../support/agent.ts';
import { endpoint } from '../../support/kube-api.ts';
import {
  addUsualPods,
  dumpFlows,
  eventually,
  makeServicesWorld,
  type ServicePod,
  type ServicesWorld,
} from './world.ts';

/** Long before a client that is not refused gives up. */
const AT_ONCE_MS = 500;

const isLasting = (flow: string): boolean => !flow.includes('idle_timeout=');

suite('Services from pods', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  let other: ServicePod;
  before(async () => {
    world = await makeServicesWorld();
    ({ client, near, far, other } = await addUsualPods(world));
    for (const pod of [near, far, other, client]) {
      await pod.process.serve('tcp', pod.ip, 8080, pod.name);
      await pod.process.serve('udp', pod.ip, 53, pod.name);
    }
  });
  after(() => world.stop());

  for (const [where, pod] of [
    ['on the same node', () => near],
    ['on another node', () => far],
    ['on another VLAN', () => other],
  ] as const) {
    test(`an endpoint ${where}, which sees the pod's own address`, async () => {
      await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: [endpoint(pod().ip)] });
      const answer = await client.process.ask('tcp', '10.96.0.10', 80);
      assert.deepEqual([answer.name, answer.seen], [pod().name, client.ip]);
      // The pod that serves may be a client too.
      const back = await pod().process.ask('tcp', client.ip, 8080);
      assert.deepEqual([back.name, back.seen], ['client', pod().ip]);
    });
  }

  test('connections spread over all endpoints', async () => {
    await world.serve({
      name: 'web',
      ip: '10.96.0.10',
      endpoints: [near, far, other].map(({ ip }) => endpoint(ip)),
    });
    const answers = await client.process.many('10.96.0.10', 80, 300);
    assert.deepEqual(Object.keys(answers).sort(), ['far', 'near', 'other']);
    for (const count of Object.values(answers)) assert.ok(count > 30, JSON.stringify(answers));
  });

  test('so do those of UDP', async () => {
    const dns = [{ name: 'dns', protocol: 'UDP', port: 53 }];
    await world.serve({
      ...{ name: 'spread', ip: '10.96.0.52', ports: dns, endpointPorts: dns },
      endpoints: [near, far, other].map(({ ip }) => endpoint(ip)),
    });
    const names = [];
    for (let i = 0; i < 90; i++) names.push((await client.process.ask('udp', '10.96.0.52', 53)).name);
    for (const name of ['far', 'near', 'other'])
      assert.ok(names.filter((each) => each === name).length > 8, names.join());
  });

  test('UDP, with answers that are fragmented', async () => {
    await world.serve({
      ...{ name: 'dns', ip: '10.96.0.53', endpoints: [endpoint(far.ip)] },
      ports: [{ name: 'dns', protocol: 'UDP', port: 53 }],
      endpointPorts: [{ name: 'dns', protocol: 'UDP', port: 53 }],
    });
    const answer = await client.process.ask('udp', '10.96.0.53', 53);
    assert.deepEqual([answer.name, answer.seen], ['far', client.ip]);
  });

  test('a pod reaches itself', async () => {
    await world.serve({ name: 'self', ip: '10.96.0.11', endpoints: [endpoint(client.ip)] });
    const answer = await client.process.ask('tcp', '10.96.0.11', 80);
    assert.deepEqual([answer.name, answer.seen], ['client', '169.254.206.17']);
  });

  test('without endpoints, and at another port, connections are refused at once', async () => {
    await world.serve({
      ...{ name: 'none', ip: '10.96.0.12', endpoints: [] },
      ports: [
        { name: 'http', protocol: 'TCP', port: 80 },
        { name: 'dns', protocol: 'UDP', port: 53 },
      ],
    });
    for (const [transport, port] of [
      ['tcp', 80],
      ['udp', 53],
      ['tcp', 81],
      ['udp', 54],
    ] as const) {
      const answer = await client.process.ask(transport, '10.96.0.12', port);
      assert.equal(answer.error, 'ECONNREFUSED', `${transport} ${port}: ${JSON.stringify(answer)}`);
      assert.ok((answer.ms ?? Infinity) < AT_ONCE_MS, `${transport} ${port}: ${answer.ms} ms`);
    }
  });

  test('open connections stay with their endpoint when others come and go', async () => {
    await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: [endpoint(near.ip)] });
    await client.process.hold('long', '10.96.0.10', 80);
    await world.endpoints('web', [endpoint(far.ip)]);
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'far');
    assert.equal((await client.process.talk('long')).name, 'near');
    // Even when there is none left.
    await world.endpoints('web', []);
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).error, 'ECONNREFUSED');
    assert.equal((await client.process.talk('long')).name, 'near');
    await client.process.drop('long');
  });

  test('UDP goes to another endpoint as soon as its own is gone', async () => {
    const udp = [{ name: 'dns', protocol: 'UDP', port: 53 }];
    await world.serve({
      name: 'dns',
      ip: '10.96.0.53',
      ports: udp,
      endpointPorts: udp,
      endpoints: [endpoint(near.ip)],
    });
    assert.equal((await client.process.datagram('one', '10.96.0.53', 53)).name, 'near');
    await world.endpoints('dns', [endpoint(far.ip)], udp);
    assert.equal((await client.process.datagram('one', '10.96.0.53', 53)).name, 'far');
  });

  test('session affinity keeps a client at its endpoint', async () => {
    await world.serve({
      ...{ name: 'sticky', ip: '10.96.0.13', endpoints: [near, far, other].map(({ ip }) => endpoint(ip)) },
      spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } },
    });
    const first = await client.process.many('10.96.0.13', 80, 30);
    assert.equal(Object.keys(first).length, 1, JSON.stringify(first));
    const [server] = Object.keys(first);
    // It stays there while others go, and goes elsewhere when its own goes.
    const kept = [near, far, other].filter(({ name }) => name === server);
    const gone = [near, far, other].filter(({ name }) => name !== server);
    await world.endpoints(
      'sticky',
      [...kept, ...gone.slice(1)].map(({ ip }) => endpoint(ip)),
    );
    assert.deepEqual(Object.keys(await client.process.many('10.96.0.13', 80, 20)), [server]);
    await world.endpoints(
      'sticky',
      gone.map(({ ip }) => endpoint(ip)),
    );
    assert.deepEqual(
      Object.keys(await client.process.many('10.96.0.13', 80, 20)).filter((name) => name === server),
      [],
    );
  });

  test('a Service that goes leaves only flows for its open connections, which expire', async () => {
    const groups = async (): Promise<number> =>
      (await world.nodes[0].ovs.ofctl('-O', 'OpenFlow15', 'dump-group-stats', 'br-cell')).split('group_id=')
        .length;
    await world.settled();
    const before = await groups();
    await world.serve({ name: 'gone', ip: '10.96.0.14', endpoints: [endpoint(near.ip)] });
    assert.equal(await groups(), before + 1);
    assert.ok((await dumpFlows(world.nodes[0])).some((flow) => flow.includes('10.96.0.14')));
    world.api.deleteService('default', 'gone');
    world.api.deleteEndpointSlice('default', 'gone-4');
    await world.settled();
    const left = (await dumpFlows(world.nodes[0])).filter((flow) => flow.includes('10.96.0.14'));
    assert.deepEqual([left.length, left.filter(isLasting)], [2, []]);
    assert.equal(await groups(), before);
  });

  test('a pod that is deleted leaves no flow', async () => {
    const [a] = world.nodes;
    const pod = await world.pod(a, 'short');
    const address = pod.mac;
    assert.ok((await dumpFlows(a)).some((flow) => flow.includes(address)));
    await pod.process.stop();
    await a.delPod(pod, { config: a.networkConfig({ agent: world.agents[0]?.socket }) });
    await world.settled();
    assert.deepEqual(
      (await dumpFlows(a)).filter((flow) => flow.includes(address)),
      [],
    );
  });

  test('external and load-balancer addresses too, these from their source ranges only', async () => {
    await world.serve({
      ...{ name: 'lb', ip: '10.96.0.15', endpoints: [endpoint(far.ip)] },
      spec: {
        type: 'LoadBalancer',
        externalIPs: ['203.0.113.7'],
        loadBalancerSourceRanges: ['10.30.0.0/22'],
      },
      status: { loadBalancer: { ingress: [{ ip: '203.0.113.8' }] } },
    });
    assert.equal((await client.process.ask('tcp', '203.0.113.7', 80)).name, 'far');
    assert.equal((await other.process.ask('tcp', '203.0.113.8', 80)).name, 'far');
    assert.equal((await client.process.ask('tcp', '203.0.113.8', 80, 1_000)).error, 'no answer');
  });

  test('hostile addresses are refused by name, and the rest is served', async () => {
    await world.serve({
      ...{ name: 'hostile', ip: '10.96.0.16', endpoints: [endpoint(near.ip)] },
      spec: { externalIPs: [far.ip, '10.20.0.1', '203.0.113.9'] },
    });
    assert.equal((await client.process.ask('tcp', '203.0.113.9', 80)).name, 'near');
    // A port that was used for `far` through a Service just now may be taken again: see the limits.
    const reachesFar = async (): Promise<boolean> =>
      (await client.process.ask('tcp', far.ip, 8080, 500)).name === 'far';
    await eventually(reachesFar, 'the pod itself is reached');
    const isTold = (address: string): boolean =>
      (world.agents[0]?.logged('part of a Service is not served') ?? []).some(
        ({ service, what }) => service === 'default/hostile' && String(what).includes(address),
      );
    await eventually(() => isTold(far.ip) && isTold('10.20.0.1'), 'both addresses are named');
  });

  test('ports that are named differ from those of the Service', async () => {
    await world.serve({
      ...{ name: 'named', ip: '10.96.0.17', endpoints: [endpoint(near.ip)] },
      ports: [
        { name: 'a', protocol: 'TCP', port: 80 },
        { name: 'b', protocol: 'TCP', port: 81 },
      ],
      endpointPorts: [
        { name: 'b', protocol: 'TCP', port: 8080 },
        { name: 'a', protocol: 'TCP', port: 9 },
      ],
    });
    assert.equal((await client.process.ask('tcp', '10.96.0.17', 81)).name, 'near');
    assert.equal((await client.process.ask('tcp', '10.96.0.17', 80)).error, 'ECONNREFUSED');
  });
});

suite('when parts of the node end', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let server: ServicePod;
  before(async () => {
    world = await makeServicesWorld();
    const [a, b] = world.nodes;
    [client, server] = await Promise.all([world.pod(a, 'client'), world.pod(b, 'server')]);
    await server.process.serve('tcp', server.ip, 8080, 'server');
    await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: [endpoint(server.ip)] });
  });
  after(() => world.stop());

  test('vswitchd: all is there again within a second of its start', async () => {
    const [a] = world.nodes;
    const before = (await dumpFlows(a)).sort();
    await a.ovs.restartVswitchd();
    const began = performance.now();
    let answer = await client.process.ask('tcp', '10.96.0.10', 80, 300);
    while (answer.name !== 'server' && performance.now() - began < 5_000)
      answer = await client.process.ask('tcp', '10.96.0.10', 80, 300);
    const ms = performance.now() - began;
    assert.equal(answer.name, 'server');
    assert.ok(ms < 3_000, `${ms} ms`);
    assert.deepEqual((await dumpFlows(a)).sort(), before);
  });

  test('flows that somebody removes are there again', async () => {
    const [a] = world.nodes;
    const before = (await dumpFlows(a)).sort();
    await a.ovs.ofctl('-O', 'OpenFlow15', 'del-flows', 'br-cell', 'table=120');
    await eventually(async () => (await dumpFlows(a)).length >= before.length, 'all flows are there', 30_000);
    assert.deepEqual((await dumpFlows(a)).sort(), before);
    assert.equal(
      world.agents[0]?.logged('flows of the bridge were changed by somebody else; all are sent again').length,
      1,
    );
  });

  test('the agent: Services go on, and its successor leaves nothing double', async () => {
    const [a] = world.nodes;
    const before = (await dumpFlows(a)).filter(isLasting).length;
    await client.process.hold('through', '10.96.0.10', 80);
    await world.agents[0]?.kill();
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'server');
    const next = await startAgent(a, undefined, [], { env: { KUBECONFIG: world.kubeconfig } });
    try {
      world.agents[0] = next;
      await world.settled();
      assert.equal((await client.process.talk('through')).name, 'server');
      assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'server');
      assert.equal((await dumpFlows(a)).filter(isLasting).length, before);
    } finally {
      await next.stop();
    }
  });

  test('"services": false takes all of it away, and pods still reach pods', async () => {
    const [a] = world.nodes;
    const next = await startAgent(a, undefined, [], { env: { CELLNET_SERVICES: 'false' } });
    try {
      await eventually(async () => (await dumpFlows(a)).length === 1, 'NORMAL is alone');
      assert.equal((await client.process.ask('tcp', server.ip, 8080)).name, 'server');
    } finally {
      await next.stop();
    }
  });
});
