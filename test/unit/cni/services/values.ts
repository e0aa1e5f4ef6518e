import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../../ipam/model/address.ts';
import type { EndpointSlice, SliceEndpoint } from '../../../../cni/kube/endpoint-slice.ts';
import type { KubeService } from '../../../../cni/kube/service.ts';
import type { Forbidden } from '../../../../cni/services/forbidden.ts';
import type { Endpoint, Frontend } from '../../../../cni/services/frontend.ts';
import type { Refusal } from '../../../../cni/services/refusal.ts';
import type { ServiceTable } from '../../../../cni/services/service-table.ts';

export const PORT: KubeService['ports'][number] = {
  name: 'http',
  protocol: 'TCP',
  port: 80,
  nodePort: undefined,
};

/** Returns a Service `shop/NAME` with TCP port 80. */
export const service = (name: string, clusterIP: string, more: Partial<KubeService> = {}): KubeService => ({
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  type: 'ClusterIP',
  clusterIPs: [clusterIP],
  externalIPs: [],
  loadBalancerIPs: [],
  loadBalancerSourceRanges: [],
  ports: [PORT],
  affinitySeconds: undefined,
  internalTrafficPolicy: 'Cluster',
  proxyName: undefined,
  ...more,
});

/** Returns a ready endpoint without hints. */
export const endpoint = (address: string, more: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
  addresses: [address],
  ready: true,
  serving: true,
  terminating: false,
  nodeName: undefined,
  zone: undefined,
  hintZones: undefined,
  hintNodes: undefined,
  podUid: undefined,
  ...more,
});

export const TERMINATING = { ready: false, serving: true, terminating: true };
export const NOT_READY = { ready: false, serving: false, terminating: false };

/** Returns a slice of the Service `shop/OWNER` whose pods listen on TCP port 8080. */
export const slice = (
  owner: string | undefined,
  endpoints: readonly (string | SliceEndpoint)[],
  more: Partial<EndpointSlice> = {},
): EndpointSlice => ({
  namespace: 'shop',
  name: `${owner}-1`,
  uid: `uid-${owner}-1`,
  service: owner,
  family: 4,
  ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  endpoints: endpoints.map((each) => (typeof each === 'string' ? endpoint(each) : each)),
  ...more,
});

export const forbidden = (cidrs: readonly string[], nodeAddresses: readonly string[] = []): Forbidden => ({
  ranges: cidrs.map((text, i) => ({ name: `range${i}`, cidr: parseCidr(text) })),
  nodeAddresses: nodeAddresses.map((text) => parseAddress(text)),
});

export const endpointText = ({ address, port }: Endpoint): string => `${formatAddress(address)} ${port}`;

/** Shows a frontend in one line. */
export function show({ service: owner, kind, endpoints, sourceRanges }: Frontend): string {
  const from = sourceRanges ? ` from [${sourceRanges.map(formatCidr).join(', ')}]` : '';
  return `${owner} ${kind} -> ${endpoints.map(endpointText).join(', ')}${from}`;
}

const shown = (frontends: Iterable<readonly [string, Frontend]>): Record<string, string> =>
  Object.fromEntries([...frontends].map(([key, frontend]) => [key, show(frontend)]));

/** Shows everything that the table serves, by key. */
export const served = (table: ServiceTable): Record<string, string> => shown(table.all());

/** Shows what the table reports as changed and removed. */
export function taken(table: ServiceTable): { changed: Record<string, string>; removed: string[] } {
  const { changed, removed } = table.take();
  return { changed: shown(changed), removed: [...removed].sort() };
}

export const refusalText = ({ service: owner, what, reason }: Refusal): string =>
  `${owner}: ${what} ${reason}`;
export const refusals = (table: ServiceTable): string[] => table.refused().map(refusalText).sort();
