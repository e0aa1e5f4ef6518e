/**
 * Two nodes with an agent each on a fabric that routes between two VLANs, and an API server that
 * both agents follow. Ranges: blue 10.20.0.0/22 on VLAN 120, red 10.30.0.0/22 on VLAN 130; with
 * `ipv6` also blue6 fd00:20::/64 and red6 fd00:30::/64 on the same VLANs.
 */
import { join } from 'node:path';
import { inNamespace, openNamespace } from '../../../cni/netlink/netns.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { startFabric, type Fabric } from '../../support/fabric.ts';
import {
  endpoint,
  node,
  startKubeApi,
  type KubeApiOptions,
  type KubeApiServer,
} from '../../support/kube-api.ts';
import { newScope, setSysctl, type Scope } from '../../support/netns.ts';
import { startNode, type AddedPod, type SimulatedNode } from '../../support/node.ts';
import { startPodProcess, type PodProcess } from '../../support/pod-process.ts';

export interface ServicePod extends AddedPod {
  /** Its IPv6 address, if it has one. */
  readonly ip6: string;
  readonly node: SimulatedNode;
  readonly process: PodProcess;
}

export interface ServicesWorld {
  readonly fabric: Fabric;
  readonly api: KubeApiServer;
  readonly kubeconfig: string;
  readonly nodes: readonly [SimulatedNode, SimulatedNode];
  readonly agents: RunningAgent[];
  /** Whether the VLANs have a range of IPv6, too. */
  readonly ipv6: boolean;
  /** Adds a pod by the node's agent, with a process in it. */
  pod(node: SimulatedNode, name: string, config?: Record<string, unknown>): Promise<ServicePod>;
  /** Makes a Service of these endpoints, and waits until the bridges serve it. */
  serve(service: ServedService): Promise<void>;
  /** Replaces the endpoints of a Service, and waits until the bridges have them. */
  endpoints(name: string, endpoints: readonly object[], ports?: readonly object[]): Promise<void>;
  /** Waits until the agents have done all that the API server told. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

export type UsualPod = 'client' | 'near' | 'far' | 'other';

export interface ServedService {
  readonly name: string;
  /** Cluster addresses; commas divide them. */
  readonly ip: string;
  readonly ports?: readonly object[];
  readonly endpointPorts?: readonly object[];
  readonly endpoints: readonly object[];
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

interface RangeOfWorld {
  readonly name: string;
  readonly cidr: string;
  readonly gateway: string;
  readonly vlan: number;
}
const RANGES: readonly RangeOfWorld[] = [
  { name: 'blue', cidr: '10.20.0.0/22', gateway: '10.20.0.1', vlan: 120 },
  { name: 'red', cidr: '10.30.0.0/22', gateway: '10.30.0.1', vlan: 130 },
];
const IPV6_RANGES: readonly RangeOfWorld[] = [
  { name: 'blue6', cidr: 'fd00:20::/64', gateway: 'fd00:20::1', vlan: 120 },
  { name: 'red6', cidr: 'fd00:30::/64', gateway: 'fd00:30::1', vlan: 130 },
];
/** Configuration of a pod that has an address of each family. */
export const DUAL_STACK = { ipam: { type: 'cellnet-ipam', families: ['ipv4', 'ipv6'] } };
export const HTTP = [{ name: 'http', protocol: 'TCP', port: 80 }];
export const HTTP_AT = (port: number): object[] => [{ name: 'http', protocol: 'TCP', port }];

export interface WorldOptions {
  /** Whether the VLANs have a range of IPv6, too. */
  readonly ipv6?: boolean;
  /** Further options of the API server. */
  readonly api?: KubeApiOptions;
}

/**
 * Adds the pods of most tests: a client, and those that serve on its node, on the other node, and
 * there on the other VLAN. With `ipv6`, each has an address of both families.
 */
export async function addUsualPods(world: ServicesWorld): Promise<Record<UsualPod, ServicePod>> {
  const [a, b] = world.nodes;
  const config = world.ipv6 ? DUAL_STACK : {};
  const red = world.ipv6
    ? { ipam: { ...DUAL_STACK.ipam, ranges: ['red', 'red6'] } }
    : { ipam: { type: 'cellnet-ipam', ranges: ['red'] } };
  const [client, near, far, other] = await Promise.all([
    world.pod(a, 'client', config),
    world.pod(a, 'near', config),
    world.pod(b, 'far', config),
    world.pod(b, 'other', red),
  ]);
  return { client, near, far, other };
}

export async function makeServicesWorld(options: WorldOptions = {}): Promise<ServicesWorld> {
  const scope = newScope();
  try {
    return await build(scope, options);
  } catch (error) {
    await scope.close();
    throw error;
  }
}

/** Starts the fabric, which routes between the ranges' VLANs, and adds the ranges. */
async function startRouter(scope: Scope, ranges: readonly RangeOfWorld[]): Promise<Fabric> {
  const fabric = scope.use(await startFabric({ gateways: [] }));
  const { name } = fabric.ns;
  await setSysctl(name, 'net/ipv4/ip_forward', 1);
  for (const [key, value] of [
    ['default/disable_ipv6', 0],
    ['default/accept_dad', 0],
    ['all/forwarding', 1],
  ] as const)
    await setSysctl(name, `net/ipv6/conf/${key}`, value);
  for (const range of ranges) {
    const { cidr, gateway, vlan } = range;
    await fabric.addGateway({ vlan, address: `${gateway}/${cidr.split('/')[1]}` });
    const options = ['--name', range.name, '--gateway', gateway, '--vlan', `${vlan}`];
    const added = await fabric.cnictl('range', 'add', cidr, ...options);
    if (added.code !== 0) throw new Error(added.stderr);
  }
  return fabric;
}

async function build(scope: Scope, { ipv6 = false, api: apiOptions }: WorldOptions): Promise<ServicesWorld> {
  const fabric = await startRouter(scope, [...RANGES, ...(ipv6 ? IPV6_RANGES : [])]);
  const space = openNamespace(fabric.ns.path);
  const api = await startKubeApi({
    ...apiOptions,
    host: '172.30.0.1',
    listenIn: (listen) => inNamespace(space, listen),
  });
  space.close();
  scope.defer(() => api.close());
  const kubeconfig = join(await scope.tempDir(), 'kubeconfig');
  api.writeKubeconfig(kubeconfig);
  const nodes = [
    scope.use(await startNode(fabric, 'svc-a')),
    scope.use(await startNode(fabric, 'svc-b')),
  ] as const;
  for (const { name } of nodes)
    api.putNode(node({ name, labels: { 'topology.kubernetes.io/zone': `zone-${name}` } }));
  const agents: RunningAgent[] = [];
  for (const node of nodes)
    agents.push(scope.use(await startAgent(node, undefined, [], { env: { KUBECONFIG: kubeconfig } })));
  const agentOf = (node: SimulatedNode): RunningAgent => {
    const agent = agents[nodes.indexOf(node)];
    if (!agent) throw new Error(`no agent for ${node.name}`);
    return agent;
  };
  let calls = 0;
  const world: ServicesWorld = {
    ...{ fabric, api, kubeconfig, nodes, agents, ipv6 },
    pod: async (node, name, config = {}) => {
      const pod = await node.addPod(name, { config: { agent: agentOf(node).socket, ...config } });
      const process = startPodProcess(pod.ns);
      scope.defer(() => process.stop());
      const ip6 = pod.result.ips?.map(({ address }) => address).find((address) => address.includes(':'));
      return { ...pod, ip6: ip6?.split('/')[0] ?? '', node, process };
    },
    serve: async ({ name, ip, ports = HTTP, endpointPorts = HTTP_AT(8080), endpoints, spec, status }) => {
      api.putService({
        name,
        clusterIPs: ip.split(','),
        ports,
        ...(spec && { spec }),
        ...(status && { status }),
      });
      await world.endpoints(name, endpoints, endpointPorts);
    },
    endpoints: async (name, endpoints, ports = HTTP_AT(8080)) => {
      for (const family of [4, 6] as const) {
        const ofFamily = endpoints.filter((each) => familyOf(each) === family);
        const slice = { name: `${name}-${family}`, service: name, addressType: `IPv${family}`, ports };
        if (ofFamily.length > 0) api.putEndpointSlice({ ...slice, endpoints: ofFamily });
        else api.deleteEndpointSlice('default', slice.name);
      }
      await world.settled();
    },
    settled: async () => {
      // A Service of its own comes last: once the bridges have it, they have all before it.
      const port = 10_000 + ++calls;
      api.putService({
        name: 'settled',
        clusterIPs: ['10.96.255.254'],
        ports: [{ name: 'x', protocol: 'TCP', port }],
      });
      api.putEndpointSlice({
        name: 'settled-1',
        service: 'settled',
        ports: [{ name: 'x', protocol: 'TCP', port }],
        endpoints: [endpoint('192.0.2.1')],
      });
      for (const node of nodes) await hasFlow(node, `tcp,nw_src=192.0.2.1,tp_src=${port}`);
    },
    stop: () => scope.close(),
  };
  return world;
}

const familyOf = (each: object): 4 | 6 =>
  (each as { addresses: readonly string[] }).addresses[0]?.includes(':') === true ? 6 : 4;

/** Waits until the node's bridge has a flow that matches. */
const hasFlow = (node: SimulatedNode, match: string): Promise<void> =>
  eventually(async () => (await dumpFlows(node, match)).length > 0, `${node.name} has a flow for ${match}`);

/** Waits until it is so. @throws Error naming what was expected */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 10_000,
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`expected that ${what}, within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Returns the node's flows that match, as ovs-ofctl prints them. */
export async function dumpFlows(node: SimulatedNode, match = ''): Promise<string[]> {
  const text = await node.ovs.ofctl(
    '-O',
    'OpenFlow15',
    'dump-flows',
    '--no-stats',
    'br-cell',
    ...(match ? [match] : []),
  );
  return text.split('\n').filter((line) => line.includes('actions='));
}
