import type { ListOptions, Moment, Pod, PodList, PodSink } from './api.ts';
import type { Client } from './client.ts';
import { DecodeError, decodePod, interner, ofKind } from './decode.ts';
import { KubeError } from './errors.ts';
import type { Limit } from './limit.ts';
import { decoding, listAll, walkAll, type Listing } from './list.ts';
import { decodePage } from './page.ts';
import { saysNotFound, type Purpose } from './status.ts';

function podListing(): Listing<Pod> {
  const intern = interner();
  return {
    path: '/api/v1/pods',
    kind: 'Pod',
    resource: 'pods',
    decode: (item) => decodePod(item, intern),
    identify: (pod) => pod,
  };
}

/** Lists every pod of the cluster. @throws KubeError */
export async function listPods(client: Client, { onProgress }: ListOptions, limit: Limit): Promise<PodList> {
  const { items, resourceVersion } = await listAll(client, podListing(), limit, onProgress);
  return { pods: items, resourceVersion };
}

/** Lists every pod of the cluster, page by page. @throws KubeError */
export async function walkPods(
  client: Client,
  sink: PodSink,
  { onProgress }: ListOptions,
  limit: Limit,
): Promise<Moment> {
  return { resourceVersion: await walkAll(client, podListing(), sink, limit, onProgress) };
}

/** Requests one pod, as a quorum read. @throws KubeError */
export async function anyPod(client: Client, limit: Limit): Promise<Moment & { any: boolean }> {
  const reply = await client.get('/api/v1/pods?limit=1', { verb: 'list', resource: 'pods' }, limit);
  if (reply.kind === 'other') throw reply.error;
  return decoding(client.server, 'list pods', () => {
    const { items, resourceVersion } = decodePage(reply.value, 'Pod');
    return { any: items.length > 0, resourceVersion };
  });
}

/**
 * Returns undefined only when the server reports that this very pod does not exist.
 * @throws KubeError
 */
export async function getPod(
  client: Client,
  namespace: string,
  name: string,
  limit: Limit,
): Promise<Pod | undefined> {
  const path = podPath(namespace, name);
  const purpose: Purpose = { verb: 'get', resource: 'pods' };
  const reply = await client.get(path, purpose, limit);
  if (reply.kind === 'other') {
    if (reply.error.status === 404 && saysNotFound(reply.status, 'pods', name)) return undefined;
    throw reply.error;
  }
  return decoding(client.server, `get pod ${namespace}/${name}`, () => {
    const pod = decodePod(ofKind(reply.value, 'Pod'), (text) => text);
    if (pod.name !== name) throw new DecodeError('metadata.name', `"${name}"`, pod.name);
    if (pod.namespace !== namespace)
      throw new DecodeError('metadata.namespace', `"${namespace}"`, pod.namespace);
    return pod;
  });
}

/** @throws KubeError `malformed` */
export const podPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${segment(namespace, 'namespace')}/pods/${segment(name, 'pod name')}`;

/**
 * Returns `text` if it is an RFC 1123 subdomain, the form of pod and namespace names. No other text
 * may become part of a request path.
 * @throws KubeError `malformed`
 */
export function segment(text: string, what: string): string {
  if (text.length <= 253 && /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(text)) return text;
  throw new KubeError(
    'malformed',
    `${what} '${text}' is not one that Kubernetes allows: expected the form web-1`,
    {
      remedy: 'Look where this name came from: no such pod can exist.',
    },
  );
}
