import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { endpoint } from '../../support/kube-api.ts';
import { startKubeProxy, type KubeProxy } from '../../support/kube-proxy.ts';
import { setMasquerade } from '../../support/masquerade.ts';
import { setSysctl, type Namespace } from '../../support/netns.ts';
import { startPodProcess, type PodProcess } from '../../support/pod-process.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { DUAL_STACK, makeServicesWorld, type ServicesWorld } from './world.ts';

/** Of the network between nodes and router. */
const ROUTER = 'fd00:1e::1';
const NODE = 'fd00:1e::11';
const NODE_PORT = 30_086;

suite('a NodePort over IPv6, of policy Local', () => {
  let world: ServicesWorld;
  let node: SimulatedNode;
  let proxy: KubeProxy | undefined;
  let [onNode, outside]: PodProcess[] = [];

  before(async () => {
    world = await makeServicesWorld({ ipv6: true });
    [node] = world.nodes;
    await addAddress(world.fabric.ns, 'mgmt', ROUTER);
    await addAddress(node.ns, 'mgmt0', NODE);
    await setSysctl(node.ns.name, 'net/ipv6/conf/all/forwarding', 1);
    await node.ns.exec('ip', 'route', 'add', 'fd00:20::/64', 'via', ROUTER);
    const server = await world.pod(node, 'server', DUAL_STACK);
    await server.process.serve('tcp', server.ip6, 8080, 'server');
    await world.serve({
      ...{ name: 'six', ip: 'fd00:96::1' },
      ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: NODE_PORT }],
      endpoints: [endpoint(server.ip6, { nodeName: node.nodeName })],
      spec: { type: 'NodePort', externalTrafficPolicy: 'Local' },
    });
    proxy = await startKubeProxy(node, world.api, { families: [6], clusterCidr: { 6: 'fd00:20::/60' } });
    [onNode, outside] = [startPodProcess(node.ns), startPodProcess(world.fabric.ns)];
  });
  after(async () => {
    await Promise.all([proxy?.stop(), onNode?.stop(), outside?.stop()]);
    await world.stop();
  });

  /** Without duplicate address detection, which takes a second. */
  async function addAddress(ns: Namespace, link: string, address: string): Promise<void> {
    await setSysctl(ns.name, `net/ipv6/conf/${link}/disable_ipv6`, 0);
    await ns.exec('ip', 'address', 'add', `${address}/64`, 'dev', link, 'nodad');
  }

  const ask = async (from: PodProcess | undefined): Promise<(string | undefined)[]> => {
    const answer = await from?.ask('tcp', NODE, NODE_PORT, 1_500);
    return [answer?.name, answer?.seen];
  };

  test('a NodePort over IPv6 is reached from its node', async () => {
    assert.deepEqual(await ask(onNode), ['server', NODE]);
  });

  test('a NodePort over IPv6 is reached from outside where the node masquerades what it forwards', async () => {
    assert.deepEqual(await ask(outside), [undefined, undefined]);
    const [agent] = world.agents;
    if (agent) await setMasquerade(node, agent, true);
    assert.deepEqual(await ask(outside), ['server', NODE]);
  });
});
