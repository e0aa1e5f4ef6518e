import {
  canonicalInSubnet,
  formatAddress,
  formatCidr,
  parseAddress,
  parseAddressInSubnet,
  subnetOf,
} from '../../ipam/model/address.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Kernel, Namespace, Platform, PodInterface, PodInterfaceSpec } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { mirrorText } from '../protocol/mirrors.ts';
import type { CniRoute } from '../protocol/result.ts';
import type { Plan } from './plan.ts';
import type { PortInfo, PortSpec } from '../platform/switch.ts';

/** How an interface differs from its plan. */
export interface Differences {
  /** Those of the pod's end, as texts. */
  readonly inPod: readonly string[];
  /** Those of the port, as texts. */
  readonly onSwitch: readonly string[];
  /** Whether Open vSwitch has a port of the attachment, be it as planned or not. */
  readonly hasPort: boolean;
  /**
   * The routes of the plan that no other interface of the pod already has. Where those of the range
   * were changed once: those that the pod has, which it was made with.
   */
  readonly routes: readonly CniRoute[];
}

/** Compares the plan with the pod's interface and the port. */
export async function compare(
  platform: Platform,
  kernel: Kernel,
  namespace: Namespace,
  call: Call,
  plan: Plan,
): Promise<Differences> {
  const { containerId, ifname } = call.request;
  const [pod, ports] = await Promise.all([
    kernel.inspect(namespace, ifname),
    withSwitch(platform, call.settings, (ovs) => ovs.findPorts(containerId, ifname)),
  ]);
  const routes = plan.grant.allocations.some(({ routesChanged }) => routesChanged)
    ? (pod?.routes ?? []).filter(({ gw }) => gw !== undefined)
    : plan.pod.routes.filter((route) => !pod?.leadsElsewhere(route));
  return {
    inPod: podDifferences(pod, { ...plan.pod, routes }, { mac: plan.veth.mac, mtu: plan.veth.mtu }),
    onSwitch: portDifferences(ports, plan.port),
    hasPort: ports.length > 0,
    routes,
  };
}

const differ = (what: string, expected: string | number, found: string | number): string =>
  `${what}: expected ${expected}, found ${found}`;

export function podDifferences(
  found: PodInterface | undefined,
  spec: Pick<PodInterfaceSpec, 'ifname' | 'addresses' | 'routes'>,
  link: { mac?: string | undefined; mtu?: number | undefined },
): string[] {
  if (!found) return [`interface ${spec.ifname}: expected in the pod's namespace, found none`];
  const problems: string[] = [];
  if (!found.up) problems.push(differ(`interface ${spec.ifname}`, 'up', 'down'));
  if (link.mac !== undefined && link.mac.toLowerCase() !== found.mac.toLowerCase()) {
    problems.push(differ(`MAC of ${spec.ifname}`, link.mac, found.mac));
  }
  if (link.mtu !== undefined && link.mtu !== found.mtu)
    problems.push(differ(`MTU of ${spec.ifname}`, link.mtu, found.mtu));
  const addresses = found.addresses.map(canonicalInSubnet);
  for (const address of spec.addresses.map(canonicalInSubnet)) {
    if (!addresses.includes(address)) {
      problems.push(differ(`address of ${spec.ifname}`, address, addresses.join(', ') || 'none'));
    }
  }
  for (const route of spec.routes) {
    if (!found.routes.some((each) => sameRoute(each, route))) {
      problems.push(
        differ(`route of ${spec.ifname}`, routeText(route), found.routes.map(routeText).join(', ') || 'none'),
      );
    }
  }
  return problems;
}

export function portDifferences(ports: readonly PortInfo[], spec: Omit<PortSpec, 'ofportRequest'>): string[] {
  const port = ports.find((each) => each.name === spec.name);
  if (!port) return [`port ${spec.name}: expected on bridge ${spec.bridge}, found none of ours`];
  const problems: string[] = [];
  if (port.bridge !== spec.bridge)
    problems.push(differ(`bridge of port ${spec.name}`, spec.bridge, port.bridge ?? 'none'));
  if (port.tag !== spec.tag) {
    problems.push(differ(`VLAN of port ${spec.name}`, spec.tag ?? 'untagged', port.tag ?? 'untagged'));
  }
  if (port.trunks.join() !== spec.trunks.join()) {
    problems.push(
      differ(
        `trunk of port ${spec.name}`,
        spec.trunks.join(', ') || 'none',
        port.trunks.join(', ') || 'none',
      ),
    );
  }
  const [wanted, found] = [spec, port].map(({ mirrors = [] }) => mirrorText(mirrors)) as [string, string];
  if (found !== wanted) problems.push(differ(`mirrors of port ${spec.name}`, wanted, found));
  const wrong = Object.entries(spec.externalIds).filter(([key, value]) => port.externalIds[key] !== value);
  for (const [key, value] of wrong) {
    problems.push(differ(`external_ids:${key} of port ${spec.name}`, value, port.externalIds[key] ?? 'none'));
  }
  if (port.error !== undefined) problems.push(`port ${spec.name}: Open vSwitch reports '${port.error}'`);
  else if (port.ofport === undefined || port.ofport <= 0) {
    problems.push(differ(`ofport of ${spec.name}`, 'a positive number', port.ofport ?? 'none'));
  }
  return problems;
}

const sameRoute = (a: CniRoute, b: CniRoute): boolean => keyOf(a) === keyOf(b);

/** Returns one text for every spelling of the route. */
function keyOf({ dst, gw }: CniRoute): string {
  const { address, prefixLength } = parseAddressInSubnet(dst, 'route');
  const via = gw === undefined ? '' : formatAddress(parseAddress(gw, 'gateway'));
  return `${formatCidr(subnetOf(address, prefixLength))} ${via}`;
}

function routeText(route: CniRoute): string {
  return route.gw === undefined ? route.dst : `${route.dst} via ${route.gw}`;
}
