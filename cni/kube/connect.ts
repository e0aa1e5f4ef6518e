import type { KubeApi, ListOptions, Moment, Node, Pod, PodList, PodSink } from './api.ts';
import { Client } from './client.ts';
import { asObject, asText, DecodeError, decodeNode, decodePod, interner } from './decode.ts';
import { KubeError } from './errors.ts';
import { findTarget, type FindOptions, type Target } from './kubeconfig.ts';
import { within, type Limit } from './limit.ts';
import { decoding, listAll, walkAll, type Listing } from './list.ts';
import { getNode, probe } from './node.ts';
import { decodePage } from './page.ts';
import { proxyFor } from './proxy.ts';
import { Sessions } from './session.ts';
import { saysNotFound, type Purpose } from './status.ts';

export interface ConnectOptions extends FindOptions {
  /** Applies to each whole operation, including its retries. */
  readonly deadlineMs: number;
  /** Applies to a list with all its pages. Default: `deadlineMs` */
  readonly listDeadlineMs?: number;
  /**
   * An attempt fails and is retried after this many milliseconds without a byte, or after half of
   * the operation's deadline, so that a server behind a load balancer that hangs leaves time to ask
   * another.
   */
  readonly idleMs?: number;
  /** The pause before the first retry, in milliseconds. */
  readonly retryPauseMs?: number;
  readonly now?: () => number;
  readonly monotonic?: () => number;
  readonly random?: () => number;
}

const IDLE_MS = 30_000;
const RETRY_PAUSE_MS = 250;

/**
 * Finds the API server and the user entry for it. Sends no request yet.
 * @throws KubeError `config`
 */
export function connectKube(options: ConnectOptions): KubeApi {
  const target = throughProxy(findTarget(options), options.env);
  const { server } = target.cluster;
  const sessions = new Sessions(target, {
    env: options.env,
    now: options.now ?? Date.now,
    monotonic: options.monotonic ?? (() => performance.now()),
  });
  const client = new Client({
    server,
    sessions,
    idleMs: options.idleMs ?? IDLE_MS,
    retryPauseMs: options.retryPauseMs ?? RETRY_PAUSE_MS,
    random: options.random ?? Math.random,
  });
  const { deadlineMs, listDeadlineMs = deadlineMs } = options;
  const operation = <T>(what: string, work: (limit: Limit) => Promise<T>): Promise<T> =>
    within({ deadlineMs, what: `${server}: ${what}` }, work);
  const listing = <T>(what: string, work: (limit: Limit) => Promise<T>, signal?: AbortSignal): Promise<T> =>
    within({ deadlineMs: listDeadlineMs, what: `${server}: ${what}`, signal }, work);
  return {
    server,
    listPods: (list = {}) => listing('list pods', (limit) => listPods(client, list, limit), list.signal),
    walkPods: (sink, list = {}) =>
      listing('list pods', (limit) => walkPods(client, sink, list, limit), list.signal),
    anyPod: () => operation('list pods', (limit) => anyPod(client, limit)),
    getPod: (namespace, name) =>
      operation(`get pod ${namespace}/${name}`, (limit) => getPod(client, namespace, name, limit)),
    listNodes: (list = {}) => listing('list nodes', (limit) => listNodes(client, list, limit), list.signal),
    getNode: (name) => operation(`get node ${name}`, (limit) => getNode(client, name, limit)),
    probe: (resource) =>
      operation(`list ${resource}`, (limit) => probe(client, resource, options.now ?? Date.now, limit)),
    clusterUid: () => operation('get namespace kube-system', (limit) => clusterUid(client, limit)),
    close: () => client.close(),
  };
}

/** The kubeconfig's `proxy-url` takes precedence over the environment. */
function throughProxy(target: Target, env: NodeJS.ProcessEnv): Target {
  const { cluster } = target;
  const proxyUrl = cluster.proxyUrl || proxyFor(cluster.server, env);
  return proxyUrl === undefined ? target : { ...target, cluster: { ...cluster, proxyUrl } };
}

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

async function listPods(client: Client, { onProgress }: ListOptions, limit: Limit): Promise<PodList> {
  const { items, resourceVersion } = await listAll(client, podListing(), limit, onProgress);
  return { pods: items, resourceVersion };
}

async function walkPods(
  client: Client,
  sink: PodSink,
  { onProgress }: ListOptions,
  limit: Limit,
): Promise<Moment> {
  return { resourceVersion: await walkAll(client, podListing(), sink, limit, onProgress) };
}

async function anyPod(client: Client, limit: Limit): Promise<Moment & { any: boolean }> {
  const reply = await client.get('/api/v1/pods?limit=1', { verb: 'list', resource: 'pods' }, limit);
  if (reply.kind === 'other') throw reply.error;
  return decoding(client.server, 'list pods', () => {
    const { items, resourceVersion } = decodePage(reply.value, 'Pod');
    return { any: items.length > 0, resourceVersion };
  });
}

async function listNodes(
  client: Client,
  { onProgress }: ListOptions,
  limit: Limit,
): Promise<readonly Node[]> {
  const identify = ({ uid, name }: Node): { uid: string; name: string; namespace: string } => ({
    uid,
    name,
    namespace: '',
  });
  const listing = {
    path: '/api/v1/nodes',
    kind: 'Node',
    resource: 'nodes',
    decode: decodeNode,
    identify,
  } as const;
  return (await listAll(client, listing, limit, onProgress)).items;
}

async function getPod(
  client: Client,
  namespace: string,
  name: string,
  limit: Limit,
): Promise<Pod | undefined> {
  const path = `/api/v1/namespaces/${segment(namespace, 'namespace')}/pods/${segment(name, 'pod name')}`;
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

async function clusterUid(client: Client, limit: Limit): Promise<string> {
  const reply = await client.get(
    '/api/v1/namespaces/kube-system',
    { verb: 'get', resource: 'namespaces' },
    limit,
  );
  if (reply.kind === 'other') throw reply.error;
  return decoding(client.server, 'get namespace kube-system', () => {
    const metadata = asObject(
      asObject(ofKind(reply.value, 'Namespace'), 'namespace')['metadata'],
      'metadata',
    );
    if (metadata['name'] !== 'kube-system')
      throw new DecodeError('metadata.name', '"kube-system"', metadata['name']);
    return asText(metadata['uid'], 'metadata.uid');
  });
}

function ofKind(value: unknown, kind: string): unknown {
  const found = asObject(value, 'the answer')['kind'];
  if (found !== kind) throw new DecodeError('kind', `"${kind}"`, found);
  return value;
}

/**
 * Returns `text` if it is an RFC 1123 subdomain, the form of pod and namespace names. No other text
 * may become part of a request path.
 * @throws KubeError `malformed`
 */
function segment(text: string, what: string): string {
  if (text.length <= 253 && /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(text)) return text;
  throw new KubeError(
    'malformed',
    `${what} '${text}' is not one that Kubernetes allows: expected the form web-1`,
    {
      remedy: 'Look where this name came from: no such pod can exist.',
    },
  );
}
