/**
 * Three nodes on one network, whose bridges serve no Services, five, and 5,000 with ten endpoints
 * each: no two endpoints are the same address and port, so each needs a flow for its replies.
 */
import { dirname, join } from 'node:path';
import { OpenFlowConnection } from '../../cni/openflow/connection.ts';
import { inNamespace, openNamespace } from '../../cni/netlink/netns.ts';
import { formatAddress, offsetAddress, parseAddress, parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { startAgent, type RunningAgent } from '../support/agent.ts';
import { startFabric, type Fabric } from '../support/fabric.ts';
import { endpoint, endpointSlice, service, startKubeApi, type KubeApiServer } from '../support/kube-api.ts';
import type { Scope } from '../support/netns.ts';
import { startNode, type SimulatedNode } from '../support/node.ts';

export const MANY = 5_000;
export const FEW = 5;
export const ENDPOINTS = 10;

/** Ranges of the endpoints. Being drained, they give no address to the pods of the benchmark. */
const ENDPOINT_RANGES = ['10.21.0.0/22', '10.21.4.0/22', '10.21.8.0/22', '10.21.12.0/22'];
const SPARE_RANGE = '10.21.16.0/22';
const FIRST_ENDPOINT = parseAddress('10.21.0.0');
const FIRST_SPARE = parseAddress('10.21.16.10');
/** Of each range, without its network address, gateway and broadcast address. */
const USABLE = 1_000;
const RANGE_SIZE = 1_024;
const FIRST_OFFSET = 10;
const FIRST_PORT = 8_000;

/** Returns the address of the n-th endpoint's pod; several ports of one pod are endpoints. */
export function endpointAddress(n: number): string {
  const pod = n % (ENDPOINT_RANGES.length * USABLE);
  const offset = Math.floor(pod / USABLE) * RANGE_SIZE + FIRST_OFFSET + (pod % USABLE);
  return formatAddress(offsetAddress(FIRST_ENDPOINT, BigInt(offset)));
}

/** Returns the n-th address that no endpoint has at first. */
export const spareAddress = (n: number): string => formatAddress(offsetAddress(FIRST_SPARE, BigInt(n)));

export const portOf = (n: number): number =>
  FIRST_PORT + Math.floor((n * ENDPOINTS) / (ENDPOINT_RANGES.length * USABLE));

export const nameOf = (n: number): string => `s-${String(n).padStart(5, '0')}`;
const FIRST_VIP = parseAddress('10.96.0.10');

type SliceOptions = Parameters<typeof endpointSlice>[0];

/** Makes the n-th Service's only slice. @param last the address of its tenth endpoint */
export const sliceOf = (n: number, last = endpointAddress(n * ENDPOINTS + ENDPOINTS - 1)): SliceOptions => ({
  name: `${nameOf(n)}-1`,
  service: nameOf(n),
  ports: [{ name: 'http', protocol: 'TCP', port: portOf(n) }],
  endpoints: Array.from({ length: ENDPOINTS }, (_, i) => {
    const address = i === ENDPOINTS - 1 ? last : endpointAddress(n * ENDPOINTS + i);
    return endpoint(address, { nodeName: `node-${(n + i) % 500}`, zone: `zone-${i % 3}` });
  }),
});

export interface ServedNode {
  readonly node: SimulatedNode;
  readonly api: KubeApiServer | undefined;
  readonly agentEnv: Readonly<Record<string, string>>;
  agent: RunningAgent;
  /** Opens a connection of the benchmark's own to the bridge. */
  bridge(): Promise<OpenFlowConnection>;
}

export interface BenchWorld {
  readonly fabric: Fabric;
  readonly none: ServedNode;
  readonly few: ServedNode;
  readonly many: ServedNode;
}

export async function startServicesWorld(scope: Scope): Promise<BenchWorld> {
  const fabric = scope.use(await startFabric());
  await addRanges(fabric);
  return {
    fabric,
    none: await startServedNode(scope, fabric, 'none', 0),
    few: await startServedNode(scope, fabric, 'few', FEW),
    many: await startServedNode(scope, fabric, 'many', MANY),
  };
}

async function addRanges({ etcd }: Fabric): Promise<void> {
  const blue = makeRange({
    name: 'blue',
    cidr: parseCidr('10.20.0.0/22'),
    gateway: parseAddress('10.20.0.1'),
    vlan: 120,
    cooldownMs: 0,
  });
  const others = [...ENDPOINT_RANGES, SPARE_RANGE].map((text, i) => {
    const cidr = parseCidr(text);
    return makeRange({ name: `endpoints-${i}`, cidr, gateway: offsetAddress(cidr.base, 1n), vlan: 121 + i });
  });
  for (const range of [blue, ...others.map((each) => ({ ...each, state: 'draining' as const }))])
    await etcd.ctl('put', `/cellnet/v1/ranges/${range.name}`, encodeRange(range));
}

async function startServedNode(
  scope: Scope,
  fabric: Fabric,
  name: string,
  count: number,
): Promise<ServedNode> {
  const node = scope.use(await startNode(fabric, name));
  const api = count === 0 ? undefined : await startApi(scope, fabric, count);
  const agentEnv: Record<string, string> = {};
  if (api) {
    const kubeconfig = join(await scope.tempDir(), 'kubeconfig');
    api.writeKubeconfig(kubeconfig);
    agentEnv['KUBECONFIG'] = kubeconfig;
  }
  const served: ServedNode = {
    ...{ node, api, agentEnv },
    agent: await startAgent(node, undefined, [], { env: agentEnv }),
    bridge: async () => {
      const socket = join(dirname(node.ovs.socket), 'br-cell.mgmt');
      return OpenFlowConnection.connect(socket, { deadlineMs: 30_000, onLost: () => undefined });
    },
  };
  scope.defer(() => served.agent.stop());
  return served;
}

/** The server is in this process, so that a change and its effect are measured by one clock. */
async function startApi(scope: Scope, fabric: Fabric, count: number): Promise<KubeApiServer> {
  const space = openNamespace(fabric.ns.path);
  const api = await startKubeApi({
    host: '172.30.0.1',
    listenIn: (listen) => inNamespace(space, listen),
    bulkServices: {
      count,
      make: (n) =>
        service({
          name: nameOf(n),
          clusterIPs: [formatAddress(offsetAddress(FIRST_VIP, BigInt(n)))],
          ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: portOf(n) }],
          uid: `service-${n}`,
        }),
    },
    bulkEndpointSlices: {
      count,
      make: (n) => endpointSlice({ ...sliceOf(n), uid: `slice-${n}` }),
    },
  });
  space.close();
  scope.defer(() => api.close());
  return api;
}
