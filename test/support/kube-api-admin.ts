import type http from 'node:http';
import type { ContainerState, KubeObject, PodOptions, StatefulSetOptions } from './kube-api-objects.ts';
import type { EndpointSliceOptions, ServiceOptions } from './kube-api-services.ts';

export interface Changes {
  /** Takes a whole object, or the options that `pod` makes one from. */
  readonly putPod: (pod: KubeObject | PodOptions) => KubeObject;
  readonly deletePod: (namespace: string, name: string) => boolean;
  /**
   * Sets the phase to Succeeded or Failed. The pod stays listed and keeps its addresses in its
   * status. Its container has ended, unless the caller says that it still runs.
   */
  readonly finishPod: (
    namespace: string,
    name: string,
    phase?: 'Succeeded' | 'Failed',
    container?: ContainerState,
  ) => void;
  readonly putNode: (node: KubeObject) => KubeObject;
  readonly deleteNode: (name: string) => boolean;
  /** Takes a whole object, or the options that `service` makes one from. */
  readonly putService: (service: KubeObject | ServiceOptions) => KubeObject;
  readonly deleteService: (namespace: string, name: string) => boolean;
  /** Takes a whole object, or the options that `endpointSlice` makes one from. */
  readonly putEndpointSlice: (slice: KubeObject | EndpointSliceOptions) => KubeObject;
  readonly deleteEndpointSlice: (namespace: string, name: string) => boolean;
  /** Takes a whole object, or the options that `statefulSet` makes one from. */
  readonly putStatefulSet: (set: KubeObject | StatefulSetOptions) => KubeObject;
  readonly deleteStatefulSet: (namespace: string, name: string) => boolean;
}

export const isAdminPath = (path: string): boolean => path.startsWith('/_test/');

/**
 * Lets another process change the cluster: PUT (a whole object, or the options of `pod`, `service`
 * or `endpointSlice`) and DELETE of /_test/pods/NAMESPACE/NAME, and likewise of `services`,
 * `endpointslices` and `statefulsets`; PUT (a whole object) and DELETE of /_test/nodes/NAME.
 */
export async function serveAdmin(
  req: http.IncomingMessage,
  res: http.ServerResponse,
  path: string,
  changes: Changes,
): Promise<void> {
  let text = '';
  for await (const chunk of req) text += String(chunk);
  const [code, answer] = change(req.method ?? '', path, text, changes);
  res.writeHead(code, { 'content-type': 'application/json' });
  res.end(`${JSON.stringify(answer)}\n`);
}

function change(method: string, path: string, text: string, changes: Changes): [number, unknown] {
  const [, , resource = '', ...names] = path.split('/').map(decodeURIComponent);
  const [namespace, name] = names;
  const body = JSON.parse(text === '' ? '{}' : text) as KubeObject | Partial<PodOptions>;
  if (resource === 'nodes' && method === 'PUT' && 'metadata' in body) return [200, changes.putNode(body)];
  if (resource === 'nodes' && method === 'DELETE' && namespace !== undefined)
    return [changes.deleteNode(namespace) ? 200 : 404, {}];
  const change = namespacedChange(resource, changes);
  if (change === undefined || namespace === undefined || name === undefined)
    return [404, { error: 'no such path' }];
  if (method === 'PUT') return [200, change.put('metadata' in body ? body : { ...body, namespace, name })];
  if (method === 'DELETE') return [change.delete(namespace, name) ? 200 : 404, {}];
  return [405, { error: 'PUT or DELETE' }];
}

interface NamespacedChange {
  readonly put: (object: KubeObject | { readonly namespace: string; readonly name: string }) => KubeObject;
  readonly delete: (namespace: string, name: string) => boolean;
}

function namespacedChange(resource: string, changes: Changes): NamespacedChange | undefined {
  switch (resource) {
    case 'pods':
      return { put: changes.putPod, delete: changes.deletePod };
    case 'services':
      return { put: changes.putService, delete: changes.deleteService };
    case 'endpointslices':
      return { put: changes.putEndpointSlice, delete: changes.deleteEndpointSlice };
    case 'statefulsets':
      return { put: changes.putStatefulSet, delete: changes.deleteStatefulSet };
    default:
      return undefined;
  }
}
