/**
 * Two nodes as world.ts has them, with all that `cnictl connectivity test` needs of a cluster: an
 * API server that takes changes, a kubelet, controllers, cluster DNS, and kube-proxy on each node.
 */
import { startControllers } from '../../support/controllers.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { endpoint, type KubeApiOptions, type KubeApiServer } from '../../support/kube-api.ts';
import { CREATED } from '../../support/kube-api-objects.ts';
import { startKubelet, type Kubelet } from '../../support/kubelet.ts';
import { startKubeProxy } from '../../support/kube-proxy.ts';
import { setMasquerade } from '../../support/masquerade.ts';
import { newScope, setSysctl, type Scope } from '../../support/netns.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { DUAL_STACK, makeServicesWorld, type ServicesWorld } from './world.ts';

export const NAMESPACE = 'cellnet-connectivity-test';

export interface ConnectivityWorld extends ServicesWorld {
  readonly kubelet: Kubelet;
  /** Runs `cnictl connectivity test`. */
  test(...args: string[]): Promise<RunResult>;
  /** Runs `cnictl trace` on node a. */
  trace(...args: string[]): Promise<RunResult>;
  /** The command line of the test. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export async function makeConnectivityWorld(forbid?: KubeApiOptions['forbid']): Promise<ConnectivityWorld> {
  const scope = newScope();
  try {
    return await build(scope, forbid);
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function build(scope: Scope, forbid: KubeApiOptions['forbid']): Promise<ConnectivityWorld> {
  const writes = {
    serviceSubnets: ['10.96.7.', 'fd00:96:7::'],
    log: (namespace: string, pod: string) => kubelet.log(namespace, pod),
  };
  const world = scope.use(
    await makeServicesWorld({ ipv6: true, api: { writes, ...(forbid && { forbid }) } }),
  );
  const { api, nodes, agents } = world;
  for (const [i, node] of nodes.entries()) {
    await joinCluster(scope, api, node);
    const agent = agents[i];
    if (agent) await setMasquerade(node, agent, true);
  }
  putAgents(api);
  await addSystem(world);
  const namespaces = [NAMESPACE];
  scope.defer(startControllers(api, namespaces));
  const kubelet: Kubelet = scope.use(
    startKubelet({
      ...{ api, namespaces },
      nodes: nodes.map((node, i) => ({ node, config: { ...DUAL_STACK, agent: agents[i]?.socket } })),
    }),
  );
  const env = { ...world.fabric.env, KUBECONFIG: world.kubeconfig };
  const command = [`${OUR_PLUGINS}/cnictl`, 'connectivity', 'test'];
  const [program = '', ...words] = command;
  return {
    ...world,
    ...{ kubelet, env, command },
    test: (...args) =>
      run(program, [...words, ...args], { netns: world.fabric.ns.name, env, timeoutMs: 200_000 }),
    trace: (...args) => {
      const [node, agent] = [nodes[0], agents[0]];
      return run(program, ['trace', ...args], {
        netns: node.ns.name,
        env: { ...node.env, ...agent?.env, ...env },
      });
    },
    stop: () => scope.close(),
  };
}

/** Tells the node's address, and gives it routes to the pods and kube-proxy. */
async function joinCluster(scope: Scope, api: KubeApiServer, node: SimulatedNode): Promise<void> {
  const found = api.nodes.get(`/${node.nodeName}`);
  if (!found) throw new Error(`no node ${node.nodeName}`);
  const addresses = [{ type: 'InternalIP', address: node.managementIp }];
  api.putNode({ ...found, status: { ...found.status, addresses } });
  await setSysctl(node.ns.name, 'net/ipv4/ip_forward', 1);
  await node.ns.exec('ip', 'route', 'add', 'default', 'via', '172.30.0.1');
  scope.use(await startKubeProxy(node, api, { clusterCidr: { 4: '10.16.0.0/12' } }));
}

/** The DaemonSet by which cnictl finds an image. */
function putAgents(api: KubeApiServer): void {
  const labels = { 'app.kubernetes.io/name': 'cellnet' };
  const container = { name: 'cellnetd', image: 'registry.example/cellnet:1' };
  api.daemonsets.put({
    ...{ kind: 'DaemonSet', apiVersion: 'apps/v1' },
    metadata: {
      name: 'cellnet',
      namespace: 'kube-system',
      uid: 'agents',
      creationTimestamp: CREATED,
      labels,
    },
    spec: { template: { spec: { containers: [container] } } },
  });
}

/** The API server as a Service, and cluster DNS by a pod. */
async function addSystem(world: ServicesWorld): Promise<void> {
  const { api, nodes } = world;
  const { hostname, port } = new URL(api.url);
  await world.serve({
    ...{ name: 'kubernetes', ip: '10.96.0.1', endpoints: [endpoint(hostname)] },
    ports: [{ name: 'https', protocol: 'TCP', port: 443 }],
    endpointPorts: [{ name: 'https', protocol: 'TCP', port: Number(port) }],
  });
  const dns = await world.pod(nodes[1], 'dns');
  await dns.process.names('0.0.0.0', { 'kubernetes.default.svc.cluster.local': '10.96.0.1' });
  const ports = [{ name: 'dns', protocol: 'UDP', port: 53 }];
  api.putService({ namespace: 'kube-system', name: 'kube-dns', clusterIPs: ['10.96.0.10'], ports });
  const slice = { namespace: 'kube-system', name: 'kube-dns-1', service: 'kube-dns', ports };
  api.putEndpointSlice({ ...slice, endpoints: [endpoint(dns.ip)] });
  await world.settled();
}
