/**
 * Makes Services (core/v1) and EndpointSlices (discovery/v1) as a Kubernetes API server writes
 * them, with the fields that cellnet reads.
 */
import { randomUUID } from 'node:crypto';
import { CREATED, type KubeObject } from './kube-api-objects.ts';

export interface ServiceOptions {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly labels?: Record<string, string>;
  /** The first is `spec.clusterIP`. Default: a headless Service */
  readonly clusterIPs?: readonly string[];
  readonly ports?: readonly object[];
  /** Further fields of the spec, or others in place of these. */
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

export function service(options: ServiceOptions): KubeObject {
  const { namespace = 'default', name, uid = randomUUID(), labels, clusterIPs = ['None'] } = options;
  const ports = options.ports ?? [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }];
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name, namespace, uid, creationTimestamp: CREATED, ...(labels && { labels }) },
    spec: {
      ports,
      selector: { app: name },
      clusterIP: clusterIPs[0],
      clusterIPs,
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ipFamilies: clusterIPs.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4')),
      ipFamilyPolicy: clusterIPs.length > 1 ? 'PreferDualStack' : 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      ...options.spec,
    },
    status: options.status ?? { loadBalancer: {} },
  };
}

export interface EndpointSliceOptions {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly service?: string;
  readonly labels?: Record<string, string>;
  readonly addressType?: string;
  readonly ports?: readonly object[] | null;
  readonly endpoints?: readonly object[] | null;
}

/** Makes a slice whose endpoint is ready, as the endpoint slice controller does for a pod. */
export function endpoint(ip: string, more: Record<string, unknown> = {}): object {
  return {
    addresses: [ip],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: 'Pod', namespace: 'default', name: `pod-${ip}`, uid: `uid-${ip}` },
    nodeName: 'node-1',
    ...more,
  };
}

export function endpointSlice(options: EndpointSliceOptions): KubeObject {
  const { namespace = 'default', name, uid = randomUUID(), service: of, addressType = 'IPv4' } = options;
  const { ports = [{ name: 'http', protocol: 'TCP', port: 8080 }], endpoints = [] } = options;
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: CREATED,
      labels: { ...(of !== undefined && { 'kubernetes.io/service-name': of }), ...options.labels },
    },
    addressType,
    endpoints,
    ports,
  };
}
