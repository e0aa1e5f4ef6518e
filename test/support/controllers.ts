/**
 * What kube-controller-manager does for the test API server: EndpointSlices of Services by their
 * selectors, and the end of namespaces.
 */
import type { KubeApiServer } from './kube-api.ts';
import { keyOf, type Collection } from './kube-api-store.ts';
import type { KubeObject } from './kube-api-objects.ts';
import { endpointSlice } from './kube-api-services.ts';

type Api = Pick<
  KubeApiServer,
  'pods' | 'services' | 'endpointslices' | 'namespaces' | 'putEndpointSlice' | 'deleteEndpointSlice'
>;

interface ServiceObject extends KubeObject {
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>;
    readonly ipFamilies?: readonly string[];
    readonly publishNotReadyAddresses?: boolean;
    readonly ports: readonly { name: string; protocol: string; port: number; targetPort: number }[];
  };
}
interface PodObject extends KubeObject {
  readonly status: {
    readonly phase: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** @param namespaces whose objects they look after. Returns what ends them. */
export function startControllers(api: Api, namespaces: readonly string[]): () => void {
  const isOurs = ({ metadata }: KubeObject): boolean =>
    namespaces.includes(metadata.namespace ?? metadata.name);
  let isDue = false;
  const changed = ({ object }: { readonly object: KubeObject }): void => {
    if (isDue || !isOurs(object)) return;
    isDue = true;
    setImmediate(() => {
      isDue = false;
      for (const namespace of namespaces) {
        reconcileSlices(api, namespace);
        endNamespace(api, namespace);
      }
    });
  };
  const ends = [api.pods, api.services, api.namespaces].map((each) => each.watch(changed));
  return () => ends.forEach((end) => end());
}

const objectsIn = (collection: Collection, namespace: string): KubeObject[] =>
  collection.all().filter(({ metadata }) => metadata.namespace === namespace);

function reconcileSlices(api: Api, namespace: string): void {
  const pods = objectsIn(api.pods, namespace) as PodObject[];
  const wanted = new Map<string, KubeObject>();
  for (const service of objectsIn(api.services, namespace) as ServiceObject[])
    for (const slice of slicesOf(service, pods)) wanted.set(keyOf(slice), slice);
  const found = new Map(objectsIn(api.endpointslices, namespace).map((each) => [keyOf(each), each]));
  for (const [key, slice] of wanted) {
    const before = found.get(key);
    if (JSON.stringify(before?.endpoints) !== JSON.stringify(slice.endpoints)) api.putEndpointSlice(slice);
  }
  for (const [key, { metadata }] of found)
    if (!wanted.has(key)) api.deleteEndpointSlice(namespace, metadata.name);
}

function slicesOf({ metadata, spec }: ServiceObject, pods: readonly PodObject[]): KubeObject[] {
  const { selector, ipFamilies = ['IPv4'], ports } = spec;
  if (selector === undefined) return [];
  const selected = pods.filter((pod) =>
    Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value),
  );
  return ipFamilies.map((addressType) => {
    const name = `${metadata.name}-${addressType.toLowerCase()}`;
    return endpointSlice({
      ...{ namespace: metadata.namespace ?? '', name, uid: `${metadata.uid}-${addressType}` },
      ...{ service: metadata.name, addressType },
      ports: ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: targetPort })),
      endpoints: selected.flatMap((pod) =>
        endpointOf(pod, addressType, spec.publishNotReadyAddresses === true),
      ),
    });
  });
}

function endpointOf({ metadata, spec, status }: PodObject, family: string, publishes: boolean): object[] {
  const address = status.podIPs?.find(({ ip }) => ip.includes(':') === (family === 'IPv6'))?.ip;
  if (address === undefined || status.phase !== 'Running') return [];
  const terminating = metadata.deletionTimestamp !== undefined;
  const serving =
    status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  return [
    {
      addresses: [address],
      conditions: {
        ready: publishes || (serving && !terminating),
        serving: publishes || serving,
        terminating,
      },
      targetRef: { kind: 'Pod', namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
      nodeName: spec?.['nodeName'],
    },
  ];
}

/** Pods end in their own time; the namespace goes when they have. */
function endNamespace(api: Api, namespace: string): void {
  const found = api.namespaces.get(`/${namespace}`);
  if (found?.metadata.deletionTimestamp === undefined) return;
  for (const service of objectsIn(api.services, namespace)) api.services.delete(keyOf(service));
  const pods = objectsIn(api.pods, namespace);
  const { deletionTimestamp } = found.metadata;
  for (const pod of pods)
    if (pod.metadata.deletionTimestamp === undefined)
      api.pods.put({ ...pod, metadata: { ...pod.metadata, deletionTimestamp } });
  if (pods.length > 0) return;
  reconcileSlices(api, namespace);
  api.namespaces.delete(`/${namespace}`);
}
