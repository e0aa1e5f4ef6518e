import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { endpoint } from '../../support/kube-api.ts';
import { startKubeProxy, type KubeProxy } from '../../support/kube-proxy.ts';
import { setMasquerade } from '../../support/masquerade.ts';
import { setSysctl } from '../../support/netns.ts';
import { startPodProcess, type Answer, type PodProcess, type Transport } from '../../support/pod-process.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { makeServicesWorld, type ServicePod, type ServicesWorld } from './world.ts';

/** Has both ranges of the pods. */
const POD_CIDR = '10.16.0.0/12';
/** Long enough for an answer on a busy machine, and short for one that never comes. */
const WITHIN_MS = 1_500;

/** A Service with its cluster address, its NodePort, and the node of its only endpoint. */
const SERVICES = {
  near: { ip: '10.96.1.1', nodePort: 30_081, at: 'a', policy: 'Cluster' },
  far: { ip: '10.96.1.2', nodePort: 30_082, at: 'b', policy: 'Cluster' },
  local: { ip: '10.96.1.3', nodePort: 30_083, at: 'a', policy: 'Local' },
  empty: { ip: '10.96.1.4', nodePort: 30_084, at: undefined, policy: 'Cluster' },
} as const;
/** The external address of Service `local`, which the router leads to node a. */
const EXTERNAL = '198.51.100.3';
type Name = keyof typeof SERVICES;
const AT_PODS = [
  { name: 'http', protocol: 'TCP', port: 8080 },
  { name: 'dns', protocol: 'UDP', port: 8080 },
];

suite("kube-proxy beside cellnet: a node's own connections, and NodePorts", () => {
  let world: ServicesWorld;
  let a: SimulatedNode;
  let b: SimulatedNode;
  let proxies: KubeProxy[] = [];
  let [onA, outside]: PodProcess[] = [];
  /** A pod on node a, which has no server. */
  let client: ServicePod;
  let serverOnA: ServicePod;
  let serverOnB: ServicePod;

  before(async () => {
    world = await makeServicesWorld();
    [a, b] = world.nodes;
    client = await world.pod(a, 'client');
    serverOnA = await world.pod(a, 'server-a');
    serverOnB = await world.pod(b, 'server-b');
    await world.fabric.ns.exec('ip', 'route', 'add', EXTERNAL, 'via', a.managementIp);
    const servers = { a: serverOnA, b: serverOnB };
    for (const [name, { ip, process }] of Object.entries(servers))
      for (const transport of ['tcp', 'udp'] as const) await process.serve(transport, ip, 8080, name);
    for (const node of world.nodes) await routeToPods(node);
    for (const name of Object.keys(SERVICES) as Name[]) await serve(name, servers);
    const options = { clusterCidr: { 4: POD_CIDR } };
    proxies = await Promise.all(world.nodes.map((node) => startKubeProxy(node, world.api, options)));
    [onA, outside] = [startPodProcess(a.ns), startPodProcess(world.fabric.ns)];
  });
  after(async () => {
    await Promise.all([...proxies.map((proxy) => proxy.stop()), onA?.stop(), outside?.stop()]);
    await world.stop();
  });

  /** As on a node whose routes lead to the pods by the network's router. */
  async function routeToPods({ ns }: SimulatedNode): Promise<void> {
    await setSysctl(ns.name, 'net/ipv4/ip_forward', 1);
    await ns.exec('ip', 'route', 'add', 'default', 'via', '172.30.0.1');
  }

  async function serve(name: Name, servers: Readonly<Record<'a' | 'b', ServicePod>>): Promise<void> {
    const { ip, nodePort, at, policy } = SERVICES[name];
    const server = at && servers[at];
    await world.serve({
      ...{ name, ip },
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, nodePort },
        { name: 'dns', protocol: 'UDP', port: 53, nodePort },
      ],
      endpointPorts: AT_PODS,
      endpoints: server ? [endpoint(server.ip, { nodeName: server.node.nodeName })] : [],
      spec: {
        ...{ type: 'NodePort', externalTrafficPolicy: policy },
        ...(name === 'local' && { externalIPs: [EXTERNAL] }),
      },
    });
  }

  const ask = async (from: PodProcess | undefined, ip: string, port: number): Promise<Answer> =>
    (await from?.ask('tcp', ip, port, WITHIN_MS)) ?? {};

  /** Asks the node's port. @returns who answered, and whom it saw */
  async function askNodePort(
    from: PodProcess | undefined,
    node: SimulatedNode,
    name: Name,
    transport: Transport = 'tcp',
  ): Promise<(string | undefined)[]> {
    const { nodePort } = SERVICES[name];
    const answer = await from?.ask(transport, node.managementIp, nodePort, WITHIN_MS);
    return [answer?.name, answer?.seen];
  }
  const NOBODY = [undefined, undefined];

  suite('as kube-proxy alone has it', () => {
    test('a node reaches a Service by kube-proxy: an endpoint of its own, and of another node', async () => {
      for (const name of ['near', 'far'] as const) {
        const { ip, at } = SERVICES[name];
        const answer = await ask(onA, ip, 80);
        assert.deepEqual([answer.name, answer.seen], [at, a.managementIp]);
      }
    });

    test('kube-proxy refuses at once what a node asks of a Service without endpoints', async () => {
      assert.equal((await ask(onA, SERVICES.empty.ip, 80)).error, 'ECONNREFUSED');
      const outsideIn = await ask(outside, a.managementIp, SERVICES.empty.nodePort);
      assert.equal(outsideIn.error, 'ECONNREFUSED');
    });

    test('a node reaches NodePorts of its own address, of both policies', async () => {
      assert.deepEqual(await askNodePort(onA, a, 'near'), ['a', a.managementIp]);
      assert.deepEqual(await askNodePort(onA, a, 'far'), ['b', a.managementIp]);
      assert.deepEqual(await askNodePort(onA, a, 'local'), ['a', a.managementIp]);
    });

    test('a NodePort of policy Cluster is reached from outside: endpoints of any node see the node', async () => {
      for (const node of [a, b]) {
        assert.deepEqual(await askNodePort(outside, node, 'near'), ['a', node.managementIp]);
        assert.deepEqual(await askNodePort(outside, node, 'far'), ['b', node.managementIp]);
      }
    });

    test('a NodePort of policy Cluster over UDP: the same', async () => {
      assert.deepEqual(await askNodePort(outside, a, 'near', 'udp'), ['a', a.managementIp]);
      assert.deepEqual(await askNodePort(outside, a, 'far', 'udp'), ['b', a.managementIp]);
    });

    test('a NodePort of policy Local is not reached from outside: replies go past the node', async () => {
      assert.deepEqual(await askNodePort(outside, a, 'local'), NOBODY);
    });

    test('an external address of policy Local is not reached from outside either', async () => {
      assert.equal((await ask(outside, EXTERNAL, 80)).name, undefined);
    });

    test('pods reach a NodePort of policy Cluster at any node, which the endpoint sees', async () => {
      for (const node of [a, b]) {
        assert.deepEqual(await askNodePort(client.process, node, 'near'), ['a', node.managementIp]);
        assert.deepEqual(await askNodePort(client.process, node, 'far'), ['b', node.managementIp]);
      }
    });

    test('pods do not reach a NodePort of policy Local: the endpoint answers them past the node', async () => {
      for (const node of [a, b]) assert.deepEqual(await askNodePort(client.process, node, 'local'), NOBODY);
    });
  });

  suite('where the nodes masquerade what they forward', () => {
    before(async () => {
      for (const [i, agent] of world.agents.entries()) {
        const node = world.nodes[i];
        if (node) await setMasquerade(node, agent, true);
      }
    });

    test('a NodePort of policy Local is reached from outside at the node of an endpoint, which sees the node', async () => {
      assert.deepEqual(await askNodePort(outside, a, 'local'), ['a', a.managementIp]);
      assert.deepEqual(await askNodePort(outside, a, 'local', 'udp'), ['a', a.managementIp]);
    });

    test('an external address of policy Local is reached from outside by the node of an endpoint', async () => {
      const { name, seen } = await ask(outside, EXTERNAL, 80);
      assert.deepEqual([name, seen], ['a', a.managementIp]);
    });

    test('a NodePort of policy Local gives no answer at a node without an endpoint', async () => {
      assert.deepEqual(await askNodePort(outside, b, 'local'), NOBODY);
    });

    test('pods reach a NodePort of policy Local at any node, which the endpoint sees', async () => {
      for (const node of [a, b])
        assert.deepEqual(await askNodePort(client.process, node, 'local'), ['a', node.managementIp]);
    });

    test('connections that others forward, by iptables-legacy or nftables, are masqueraded too', async () => {
      const legacy = '-t nat -A PREROUTING -p tcp --dport 9001 -j DNAT --to-destination';
      await b.ns.exec('iptables-legacy', ...legacy.split(' '), `${serverOnA.ip}:8080`);
      const nat = 'type nat hook prerouting priority dstnat;';
      const input = `table ip theirs { chain in { ${nat} tcp dport 9002 dnat to ${serverOnA.ip}:8080; }; }`;
      assert.equal((await b.ns.run('nft', ['-f', '-'], { input })).code, 0);
      for (const port of [9_001, 9_002]) {
        const answer = await ask(outside, b.managementIp, port);
        assert.deepEqual([answer.name, answer.seen], ['a', b.managementIp]);
      }
    });

    test('an endpoint that moves takes its NodePort along', async () => {
      const { ip, node } = serverOnB;
      await world.endpoints('local', [endpoint(ip, { nodeName: node.nodeName })], AT_PODS);
      await Promise.all(proxies.map((proxy) => proxy.settled()));
      assert.deepEqual(await askNodePort(outside, a, 'local'), NOBODY);
      assert.deepEqual(await askNodePort(outside, b, 'local'), ['b', b.managementIp]);
    });

    test('what worked before goes on, and pods still see one another', async () => {
      assert.deepEqual(await askNodePort(outside, b, 'near'), ['a', b.managementIp]);
      assert.deepEqual(await askNodePort(onA, a, 'near'), ['a', a.managementIp]);
      const throughBridge = await ask(client.process, SERVICES.far.ip, 80);
      assert.deepEqual([throughBridge.name, throughBridge.seen], ['b', client.ip]);
    });
  });
});
