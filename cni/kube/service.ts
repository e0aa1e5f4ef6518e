import { asObject, asOptionalText, asText, type Intern, type Json } from './decode.ts';
import {
  eachOf,
  ipAddress,
  label,
  oneOf,
  optionalObject,
  portName,
  portNumber,
  protocol,
  subnet,
  wholeNumber,
  type Protocol,
} from './fields.ts';

/** What cellnet keeps of a Service (core/v1). */
export interface KubeService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: ServiceType;
  /** The first is the Service's primary family. Empty for a headless Service. */
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  /** The load balancer's addresses to which it sends packets unchanged (`ipMode` VIP). */
  readonly loadBalancerIPs: readonly string[];
  /** The subnets that may use the load balancer's addresses. Empty: every address may. */
  readonly loadBalancerSourceRanges: readonly string[];
  readonly ports: readonly ServicePort[];
  /** How long a client keeps its endpoint (`sessionAffinity` ClientIP), in seconds. */
  readonly affinitySeconds: number | undefined;
  readonly internalTrafficPolicy: 'Cluster' | 'Local';
  /** The proxy that serves this Service in place of the cluster's own. */
  readonly proxyName: string | undefined;
}

export interface ServicePort {
  /** Empty where the Service's only port has no name. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number | undefined;
}

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
export type ServiceType = (typeof TYPES)[number];

export const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
/** The API's default and limit of `sessionAffinityConfig.clientIP.timeoutSeconds`. */
const AFFINITY_SECONDS = 10_800;
const LONGEST_AFFINITY_SECONDS = 86_400;

/** @throws DecodeError */
export function decodeService(value: unknown, intern: Intern): KubeService {
  const service = asObject(value, 'service');
  const metadata = asObject(service['metadata'], 'metadata');
  const spec = asObject(service['spec'], 'spec');
  return {
    namespace: intern(asText(metadata['namespace'], 'metadata.namespace')),
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    type: oneOf(spec['type'], 'spec.type', TYPES, 'ClusterIP'),
    clusterIPs: decodeClusterIPs(spec),
    externalIPs: eachOf(spec['externalIPs'], 'spec.externalIPs', ipAddress),
    loadBalancerIPs: decodeLoadBalancerIPs(optionalObject(service['status'], 'status')),
    loadBalancerSourceRanges: eachOf(
      spec['loadBalancerSourceRanges'],
      'spec.loadBalancerSourceRanges',
      subnet,
    ),
    ports: eachOf(spec['ports'], 'spec.ports', (port, path) => decodePort(port, path, intern)),
    affinitySeconds: decodeAffinity(spec),
    internalTrafficPolicy: oneOf(
      spec['internalTrafficPolicy'],
      'spec.internalTrafficPolicy',
      ['Cluster', 'Local'],
      'Cluster',
    ),
    proxyName: label(metadata, PROXY_NAME_LABEL),
  };
}

/** Reads `spec.clusterIPs`, and `spec.clusterIP` where an older server wrote only that field. */
function decodeClusterIPs(spec: Json): readonly string[] {
  const all = spec['clusterIPs'] ?? [spec['clusterIP']];
  return eachOf(all, 'spec.clusterIPs', (entry, path) => {
    const text = asOptionalText(entry, path);
    return text === undefined || text === 'None' ? [] : [ipAddress(text, path)];
  }).flat();
}

/** An ingress point may be a host name alone. Those of `ipMode` Proxy are the proxy's, not ours. */
function decodeLoadBalancerIPs(status: Json): readonly string[] {
  const { ingress } = optionalObject(status['loadBalancer'], 'status.loadBalancer');
  return eachOf(ingress, 'status.loadBalancer.ingress', (entry, path) => {
    const { ip, ipMode } = asObject(entry, path);
    const mode = oneOf(ipMode, `${path}.ipMode`, ['VIP', 'Proxy'], 'VIP');
    const isOurs = mode === 'VIP' && asOptionalText(ip, `${path}.ip`) !== undefined;
    return isOurs ? [ipAddress(ip, `${path}.ip`)] : [];
  }).flat();
}

function decodePort(value: unknown, path: string, intern: Intern): ServicePort {
  const port = asObject(value, path);
  // Go writes an absent port as 0.
  const nodePort = port['nodePort'] ?? 0;
  return {
    name: portName(port['name'], `${path}.name`, intern),
    protocol: protocol(port['protocol'], `${path}.protocol`),
    port: portNumber(port['port'], `${path}.port`),
    nodePort: nodePort === 0 ? undefined : portNumber(nodePort, `${path}.nodePort`),
  };
}

function decodeAffinity(spec: Json): number | undefined {
  const affinity = oneOf(spec['sessionAffinity'], 'spec.sessionAffinity', ['None', 'ClientIP'], 'None');
  if (affinity === 'None') return undefined;
  const config = optionalObject(spec['sessionAffinityConfig'], 'spec.sessionAffinityConfig');
  const path = 'spec.sessionAffinityConfig.clientIP';
  const seconds = optionalObject(config['clientIP'], path)['timeoutSeconds'] ?? AFFINITY_SECONDS;
  return wholeNumber(seconds, `${path}.timeoutSeconds`, 1, LONGEST_AFFINITY_SECONDS);
}
