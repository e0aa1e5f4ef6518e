/**
 * The kinds of objects that writer.ts knows. A module of its own: naming a kind must not load the
 * Kubernetes client, which most commands of cnictl do not need.
 */
import type { Purpose } from './status.ts';

/** A kind of objects that KubeWriter knows. */
export interface ObjectType {
  /** The path of its API group and version. */
  readonly api: '/api/v1' | '/apis/apps/v1' | '/apis/discovery.k8s.io/v1';
  readonly kind: string;
  readonly resource: Purpose['resource'];
}

export const NAMESPACE: ObjectType = { api: '/api/v1', kind: 'Namespace', resource: 'namespaces' };
export const NODE: ObjectType = { api: '/api/v1', kind: 'Node', resource: 'nodes' };
export const POD: ObjectType = { api: '/api/v1', kind: 'Pod', resource: 'pods' };
export const SERVICE: ObjectType = { api: '/api/v1', kind: 'Service', resource: 'services' };
export const DAEMON_SET: ObjectType = { api: '/apis/apps/v1', kind: 'DaemonSet', resource: 'daemonsets' };
export const ENDPOINT_SLICE: ObjectType = {
  api: '/apis/discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  resource: 'endpointslices',
};
