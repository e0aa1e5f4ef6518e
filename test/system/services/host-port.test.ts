import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS, STOCK_PLUGINS } from '../../support/cni.ts';
import { setMasquerade } from '../../support/masquerade.ts';
import { setSysctl } from '../../support/netns.ts';
import { startPodProcess, type Answer, type PodProcess } from '../../support/pod-process.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

suite("a pod's hostPort by portmap", () => {
  let world: ServicesWorld;
  let node: SimulatedNode;
  let server: Pod;
  let client: ServicePod;
  let [onNode, outside]: PodProcess[] = [];
  let address: string;
  before(async () => {
    world = await makeServicesWorld();
    [node] = world.nodes;
    address = node.managementIp;
    await setSysctl(node.ns.name, 'net/ipv4/ip_forward', 1);
    await node.ns.exec('ip', 'route', 'add', '10.20.0.0/22', 'via', '172.30.0.1');
    client = await world.pod(world.nodes[1], 'client');
    server = await node.makePod('server');
    await addWithHostPort(server);
    [onNode, outside] = [startPodProcess(node.ns), startPodProcess(world.fabric.ns)];
  });
  after(async () => {
    await Promise.all([onNode?.stop(), outside?.stop()]);
    await world.stop();
  });

  /** Calls the list of docs/services.md as a runtime does. */
  async function addWithHostPort(pod: Pod): Promise<void> {
    const cellnet = { ...node.networkConfig({ agent: world.agents[0]?.socket }), cniVersion: '1.0.0' };
    const first = await node.call('ADD', pod, { plugin: `${OUR_PLUGINS}/cellnet`, config: cellnet });
    assert.equal(first.code, 0, first.stdout);
    const portmap = {
      ...{ name: 'cell', cniVersion: '1.0.0', type: 'portmap', prevResult: first.result },
      runtimeConfig: { portMappings: [{ hostPort: 8088, containerPort: 8080, protocol: 'tcp' }] },
    };
    const second = await node.call('ADD', pod, { plugin: `${STOCK_PLUGINS}/portmap`, config: portmap });
    assert.equal(second.code, 0, second.stdout);
    const process = startPodProcess(pod.ns);
    const [ip = ''] = first.result?.ips?.[0]?.address.split('/') ?? [];
    await process.serve('tcp', ip, 8080, 'server');
    stops.push(() => process.stop());
  }
  const stops: (() => Promise<void>)[] = [];
  after(() => Promise.all(stops.map((stop) => stop())).then(() => undefined));

  const ask = async (from: PodProcess | undefined): Promise<Answer> =>
    (await from?.ask('tcp', address, 8088, 1_500)) ?? {};

  test('is reached from the node itself', async () => {
    assert.equal((await ask(onNode)).name, 'server');
  });

  test('is reached from pods of its network, whose connections portmap masquerades', async () => {
    const { name, seen } = await ask(client.process);
    assert.deepEqual([name, seen], ['server', address]);
  });

  test('is not reached from outside: replies go past the node', async () => {
    assert.equal((await ask(outside)).name, undefined);
  });

  test('is reached from outside where the node masquerades what it forwards', async () => {
    const [agent] = world.agents;
    if (agent) await setMasquerade(node, agent, true);
    const { name, seen } = await ask(outside);
    assert.deepEqual([name, seen], ['server', address]);
  });
});
