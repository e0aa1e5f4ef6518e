import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { endpoint } from '../../support/kube-api.ts';
import { until } from '../../support/proc.ts';
import { addUsualPods, HTTP_AT, makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

const CONNECTIONS = 10_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

suite('Services under traffic', () => {
  let world: ServicesWorld;
  let client: ServicePod;
  let near: ServicePod;
  let far: ServicePod;
  let other: ServicePod;
  before(async () => {
    world = await makeServicesWorld();
    ({ client, near, far, other } = await addUsualPods(world));
    for (const pod of [near, far, other]) await pod.process.serve('tcp', pod.ip, 8080, pod.name);
  });
  const successors: RunningAgent[] = [];
  after(async () => {
    for (const each of successors) await each.stop();
    await world.stop();
  });

  const all = (): object[] => [near, far, other].map(({ ip }) => endpoint(ip));
  const put = (name: string, endpoints: readonly object[]): void => {
    const slice = { name: `${name}-4`, service: name, ports: HTTP_AT(8080) };
    world.api.putEndpointSlice({ ...slice, endpoints });
  };

  test('ten thousand connections while endpoints come and go: none fails', async () => {
    await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: all() });
    let ended = false;
    const asked = client.process.many('10.96.0.10', 80, CONNECTIONS, 40).finally(() => {
      ended = true;
    });
    let changes = 0;
    while (!ended) {
      // `far` stays; the servers of the others go on, as they do for some time after they left.
      put(
        'web',
        all().filter((_, i) => i === 1 || ((changes >> i) & 1) === 0),
      );
      changes++;
      await sleep(50);
    }
    const answers = await asked;
    assert.ok(changes > 5, `${changes} changes`);
    assert.deepEqual(Object.keys(answers).sort(), ['far', 'near', 'other']);
    assert.equal(
      Object.values(answers).reduce((sum, count) => sum + count, 0),
      CONNECTIONS,
    );
  });

  test('affinity ends when the client has not connected for its timeout', async () => {
    const clientIP = { timeoutSeconds: 2 };
    await world.serve({
      ...{ name: 'short', ip: '10.96.0.20', endpoints: all() },
      spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP } },
    });
    const [a] = world.nodes;
    const learned = async (): Promise<number> =>
      (await a.ovs.ofctl('-O', 'OpenFlow15', 'dump-flows', '--no-stats', 'br-cell', 'table=123'))
        .split('\n')
        .filter((line) => line.includes('nw_dst=10.96.0.20')).length;
    const first = await client.process.many('10.96.0.20', 80, 20);
    assert.equal(Object.keys(first).length, 1, JSON.stringify(first));
    assert.equal(await learned(), 1);
    await sleep(5_000);
    assert.equal(await learned(), 0);
  });

  test('the API server is away: Services go on, and what changed meanwhile is there afterwards', async () => {
    await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: [endpoint(near.ip)] });
    world.api.faults.when(() => ({ kind: 'reset' }));
    for (const watch of world.api.watches) watch.cut();
    put('web', [endpoint(far.ip)]);
    await sleep(2_000);
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'near');
    world.api.faults.clear();
    await world.settled();
    assert.equal((await client.process.ask('tcp', '10.96.0.10', 80)).name, 'far');
  });

  test('affinity outlives the agent, and another endpoint that goes meanwhile', async () => {
    await world.serve({
      ...{ name: 'sticky', ip: '10.96.0.21', endpoints: all() },
      spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
    });
    // Until Open vSwitch has revalidated what it cached, one may still leave by the gateway.
    const server = await until('an answer', async () => {
      const [name = ''] = Object.keys(await client.process.many('10.96.0.21', 80, 1));
      return [near, far, other].some((pod) => pod.name === name) ? name : undefined;
    });
    assert.deepEqual(Object.keys(await client.process.many('10.96.0.21', 80, 5)), [server]);
    await world.agents[0]?.kill();
    const kept = [near, far, other].filter(({ name }) => name === server);
    const others = [near, far, other].filter(({ name }) => name !== server);
    put(
      'sticky',
      [...others.slice(1), ...kept].map(({ ip }) => endpoint(ip)),
    );
    const [a] = world.nodes;
    successors.push(await startAgent(a, undefined, [], { env: { KUBECONFIG: world.kubeconfig } }));
    await world.settled();
    assert.deepEqual(Object.keys(await client.process.many('10.96.0.21', 80, 20)), [server]);
  });

  test('what goes while no agent runs: open TCP connections stay, UDP moves', async () => {
    const { process } = client;
    const [a] = world.nodes;
    for (const pod of [near, far]) await pod.process.serve('udp', pod.ip, 5353, pod.name);
    const udp = { port: 53, protocol: 'UDP', name: 'dns' };
    const at = { ...udp, port: 5353 };
    await world.serve({
      ...{ name: 'names', ip: '10.96.0.30', ports: [udp], endpointPorts: [at] },
      endpoints: [endpoint(near.ip)],
    });
    await world.serve({ name: 'changes', ip: '10.96.0.31', endpoints: [endpoint(near.ip)] });
    await world.serve({ name: 'goes', ip: '10.96.0.32', endpoints: [endpoint(far.ip)] });
    assert.equal((await process.datagram('names', '10.96.0.30', 53)).name, 'near');
    assert.equal((await process.hold('changes', '10.96.0.31', 80)).name, 'near');
    assert.equal((await process.hold('goes', '10.96.0.32', 80)).name, 'far');
    await successors.at(-1)?.kill();
    world.api.putEndpointSlice({
      ...{ name: 'names-4', service: 'names', ports: [at] },
      endpoints: [endpoint(far.ip)],
    });
    put('changes', [endpoint(other.ip)]);
    world.api.deleteService('default', 'goes');
    world.api.deleteEndpointSlice('default', 'goes-4');
    successors.push(await startAgent(a, undefined, [], { env: { KUBECONFIG: world.kubeconfig } }));
    await world.settled();
    assert.equal((await process.datagram('names', '10.96.0.30', 53)).name, 'far');
    assert.equal((await process.talk('changes')).name, 'near');
    assert.equal((await process.talk('goes')).name, 'far');
    assert.equal((await process.ask('tcp', '10.96.0.31', 80)).name, 'other');
    assert.equal((await process.ask('tcp', '10.96.0.32', 80)).error, 'ECONNREFUSED');
    for (const key of ['changes', 'goes']) await process.drop(key);
  });

  test('ovs-vswitchd is killed: what pods open after its start succeeds', async () => {
    await world.serve({ name: 'web', ip: '10.96.0.10', endpoints: all() });
    const [a] = world.nodes;
    const asked = client.process.many('10.96.0.10', 80, 200, 4);
    await a.ovs.killVswitchd();
    await a.ovs.startVswitchd();
    await asked;
    await world.settled();
    assert.deepEqual(Object.keys(await client.process.many('10.96.0.10', 80, 100)).sort(), [
      'far',
      'near',
      'other',
    ]);
  });
});
