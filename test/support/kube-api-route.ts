/* The paths of the API server, and what it says of those that a user may not read. */
import { status, type KubeObject } from './kube-api-objects.ts';

export interface Target {
  readonly resource:
    'pods' | 'nodes' | 'namespaces' | 'services' | 'endpointslices' | 'daemonsets' | 'statefulsets';
  /** The API group. Empty: the core group. */
  readonly group: string;
  readonly apiVersion: KubeObject['apiVersion'];
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
}

type Resource = Pick<Target, 'resource' | 'group' | 'apiVersion' | 'kind'>;

const CORE = { group: '', apiVersion: 'v1' } as const;
const APPS = { group: 'apps', apiVersion: 'apps/v1' } as const;
const DISCOVERY = { group: 'discovery.k8s.io', apiVersion: 'discovery.k8s.io/v1' } as const;

const NAMESPACED: readonly Resource[] = [
  { ...CORE, resource: 'pods', kind: 'Pod' },
  { ...CORE, resource: 'services', kind: 'Service' },
  { ...DISCOVERY, resource: 'endpointslices', kind: 'EndpointSlice' },
  { ...APPS, resource: 'daemonsets', kind: 'DaemonSet' },
  { ...APPS, resource: 'statefulsets', kind: 'StatefulSet' },
];
const CLUSTER_WIDE: readonly Resource[] = [
  { ...CORE, resource: 'nodes', kind: 'Node' },
  { ...CORE, resource: 'namespaces', kind: 'Namespace' },
];

export function route(path: string): Target | undefined {
  const [api, ...parts] = path.split('/').slice(1).map(decodeURIComponent);
  const apiVersion = api === 'api' ? parts[0] : api === 'apis' ? `${parts[0]}/${parts[1]}` : undefined;
  const rest = parts.slice(api === 'api' ? 1 : 2);
  const find = (among: readonly Resource[], name: string | undefined): Resource | undefined =>
    among.find((each) => each.apiVersion === apiVersion && each.resource === name);
  const [first, second, third, fourth] = rest;
  const named = (name: string | undefined): { name?: string } => (name === undefined ? {} : { name });
  const inNamespace = find(NAMESPACED, third);
  if (first === 'namespaces' && second !== undefined && inNamespace !== undefined && rest.length <= 4)
    return { ...inNamespace, namespace: second, ...named(fourth) };
  const everywhere = find(NAMESPACED, first);
  if (everywhere !== undefined && rest.length === 1) return everywhere;
  const clusterWide = find(CLUSTER_WIDE, first);
  return clusterWide === undefined || rest.length > 2 ? undefined : { ...clusterWide, ...named(second) };
}

export function forbidden(
  user: string,
  verb: string,
  { resource, group, name, namespace: space }: Omit<Target, 'resource'> & { readonly resource: string },
): unknown {
  const where = space === undefined ? 'at the cluster scope' : `in the namespace "${space}"`;
  const which = name === undefined ? '' : ` "${name}"`;
  const message = `${resource}${which} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}`;
  return status(403, 'Forbidden', message, {
    details: { ...(name === undefined ? {} : { name }), kind: resource },
  });
}
