/**
 * What kube-proxy makes of Services and EndpointSlices before it writes rules: one value for each
 * port of a Service and family, with the endpoints that either traffic policy allows.
 */
import type { KubeObject } from './kube-api-objects.ts';

export interface ProxiedPort {
  /** `namespace/name:port`, as comments and the names of chains have it. */
  readonly name: string;
  /** As iptables names it. */
  readonly protocol: string;
  readonly clusterIp: string;
  readonly port: number;
  readonly nodePort: number;
  /** External addresses and those of load balancers. */
  readonly externalIps: readonly string[];
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** `address:port` of the endpoints that the policy Cluster allows, and of those on this node. */
  readonly cluster: readonly string[];
  readonly local: readonly string[];
}

export type Family = 4 | 6;

interface ServicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
  readonly nodePort?: number;
}

interface ServiceObject extends KubeObject {
  readonly spec: {
    readonly ports?: readonly ServicePort[];
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalIPs?: readonly string[];
    readonly externalTrafficPolicy?: string;
    readonly internalTrafficPolicy?: string;
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
}

interface Endpoint {
  readonly addresses: readonly string[];
  readonly nodeName?: string;
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
}

interface SliceObject extends KubeObject {
  readonly addressType: string;
  readonly ports?: readonly { readonly name?: string; readonly protocol?: string; readonly port: number }[];
  readonly endpoints?: readonly Endpoint[];
}

const familyOf = (ip: string): Family => (ip.includes(':') ? 6 : 4);

/** Returns the ports of all Services that have a cluster address of the family, by name. */
export function proxiedPorts(
  services: readonly KubeObject[],
  slices: readonly KubeObject[],
  family: Family,
  nodeName: string,
): ProxiedPort[] {
  return (services as readonly ServiceObject[])
    .flatMap((service) => {
      const ofService = (slices as readonly SliceObject[]).filter((slice) => belongs(slice, service, family));
      return portsOf(service, ofService, family, nodeName);
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const belongs = (slice: SliceObject, { metadata }: KubeObject, family: Family): boolean =>
  slice.metadata.namespace === metadata.namespace &&
  slice.metadata.labels?.['kubernetes.io/service-name'] === metadata.name &&
  slice.addressType === `IPv${family}`;

function portsOf(
  { metadata, spec, status }: ServiceObject,
  slices: readonly SliceObject[],
  family: Family,
  nodeName: string,
): ProxiedPort[] {
  const clusterIp = (spec.clusterIPs ?? []).find((ip) => ip !== 'None' && familyOf(ip) === family);
  if (clusterIp === undefined) return [];
  const balancers = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  return (spec.ports ?? []).map((port): ProxiedPort => {
    const protocol = port.protocol ?? 'TCP';
    const at = slices.flatMap((slice) => endpointsAt(slice, port.name ?? '', protocol));
    return {
      name: `${metadata.namespace ?? ''}/${metadata.name}${port.name ? `:${port.name}` : ''}`,
      protocol: protocol.toLowerCase(),
      ...{ clusterIp, port: port.port, nodePort: port.nodePort ?? 0 },
      externalIps: [...(spec.externalIPs ?? []), ...balancers].filter((ip) => familyOf(ip) === family),
      externalLocal: spec.externalTrafficPolicy === 'Local',
      internalLocal: spec.internalTrafficPolicy === 'Local',
      cluster: chosen(at),
      local: chosen(at.filter(({ endpoint }) => endpoint.nodeName === nodeName)),
    };
  });
}

interface EndpointAt {
  readonly endpoint: Endpoint;
  readonly at: string;
}

function endpointsAt({ ports, endpoints }: SliceObject, name: string, protocol: string): EndpointAt[] {
  const port = (ports ?? []).find(
    (each) => (each.name ?? '') === name && (each.protocol ?? 'TCP') === protocol,
  );
  if (!port) return [];
  return (endpoints ?? []).map((endpoint) => {
    const [ip = ''] = endpoint.addresses;
    return { endpoint, at: `${familyOf(ip) === 6 ? `[${ip}]` : ip}:${port.port}` };
  });
}

/** Those that are ready; where none is, those that end and still serve. */
function chosen(all: readonly EndpointAt[]): string[] {
  const ready = all.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  const ending = all.filter(
    ({ endpoint }) => endpoint.conditions?.serving === true && endpoint.conditions.terminating === true,
  );
  return [...new Set((ready.length > 0 ? ready : ending).map(({ at }) => at))].sort();
}
