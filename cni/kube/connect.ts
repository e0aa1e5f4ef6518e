import type { Effects } from '../../ipam/model/effects.ts';
import type { KubeApi, ListOptions, Node } from './api.ts';
import type { CollectionSink, KubeWatches, Reflection, WatchObserver } from './watches.ts';
import { Client } from './client.ts';
import { endpointSlices, services, sourceOf, type Collection } from './collection.ts';
import { asObject, asText, DecodeError, decodeNode, ofKind } from './decode.ts';
import { findTarget, type FindOptions, type Target } from './kubeconfig.ts';
import { within, type Limit } from './limit.ts';
import { decoding, listAll } from './list.ts';
import { getNode, probe } from './node.ts';
import { anyPod, getPod, listPods, walkPods } from './pods.ts';
import { proxyFor } from './proxy.ts';
import { reflect, type ReflectorEffects } from './reflector.ts';
import { Sessions } from './session.ts';
import { listStatefulSets } from './stateful-sets.ts';

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
  readonly schedule?: Effects['schedule'];
  /**
   * A watch is broken off, and begun again where it ended, after this many milliseconds without a
   * byte. API servers send a bookmark each minute, unless etcd's version stands still for them
   * (`--watch-progress-notify-interval`), so silence alone is no trouble.
   */
  readonly silenceMs?: number;
  /** Names the program in the API server's audit log. Default: `cnictl` */
  readonly userAgent?: string;
}

/** All that cellnet asks an API server for. */
export type KubeClient = KubeApi & KubeWatches;

const IDLE_MS = 30_000;
const RETRY_PAUSE_MS = 250;
/** Three bookmarks. */
const SILENCE_MS = 180_000;

/**
 * Finds the API server and the user entry for it. Sends no request yet.
 * @throws KubeError `config`
 */
export function connectKube(options: ConnectOptions): KubeClient {
  const client = clientOf(options);
  const { server } = client;
  const effects: ReflectorEffects = {
    monotonic: options.monotonic ?? (() => performance.now()),
    random: options.random ?? Math.random,
    schedule: options.schedule ?? scheduleOnHost,
  };
  const { deadlineMs, listDeadlineMs = deadlineMs } = options;
  const operation = <T>(what: string, work: (limit: Limit) => Promise<T>): Promise<T> =>
    within({ deadlineMs, what: `${server}: ${what}` }, work);
  const listing = <T>(what: string, work: (limit: Limit) => Promise<T>, signal?: AbortSignal): Promise<T> =>
    within({ deadlineMs: listDeadlineMs, what: `${server}: ${what}`, signal }, work);
  const reflections = new Set<Reflection>();
  const watch = <T extends { readonly uid: string }>(
    collection: Collection<T>,
    sink: CollectionSink<T>,
    observer: WatchObserver,
  ): Reflection => {
    const { silenceMs = SILENCE_MS } = options;
    const reading = { within: listing, silenceMs, schedule: effects.schedule };
    const reflection = reflect(sourceOf(client, collection, reading), sink, observer, effects);
    reflections.add(reflection);
    return {
      ...reflection,
      close: () => {
        reflections.delete(reflection);
        reflection.close();
      },
    };
  };
  return {
    server,
    listPods: (list = {}) => listing('list pods', (limit) => listPods(client, list, limit), list.signal),
    walkPods: (sink, list = {}) =>
      listing('list pods', (limit) => walkPods(client, sink, list, limit), list.signal),
    anyPod: () => operation('list pods', (limit) => anyPod(client, limit)),
    getPod: (namespace, name) =>
      operation(`get pod ${namespace}/${name}`, (limit) => getPod(client, namespace, name, limit)),
    listNodes: (list = {}) => listing('list nodes', (limit) => listNodes(client, list, limit), list.signal),
    listStatefulSets: (list = {}) =>
      listing('list statefulsets', (limit) => listStatefulSets(client, list, limit), list.signal),
    getNode: (name) => operation(`get node ${name}`, (limit) => getNode(client, name, limit)),
    probe: (resource) =>
      operation(`list ${resource}`, (limit) => probe(client, resource, options.now ?? Date.now, limit)),
    clusterUid: () => operation('get namespace kube-system', (limit) => clusterUid(client, limit)),
    watchServices: (sink, observer) => watch(services, sink, observer),
    watchEndpointSlices: (sink, observer) => watch(endpointSlices, sink, observer),
    close: () => {
      for (const reflection of reflections) reflection.close();
      reflections.clear();
      client.close();
    },
  };
}

/**
 * Finds the API server and the user entry for it. Sends no request yet.
 * @throws KubeError `config`
 */
export function clientOf(options: ConnectOptions): Client {
  const target = throughProxy(findTarget(options), options.env);
  const sessions = new Sessions(target, {
    env: options.env,
    now: options.now ?? Date.now,
    monotonic: options.monotonic ?? (() => performance.now()),
  });
  return new Client({
    server: target.cluster.server,
    sessions,
    idleMs: options.idleMs ?? IDLE_MS,
    retryPauseMs: options.retryPauseMs ?? RETRY_PAUSE_MS,
    random: options.random ?? Math.random,
    userAgent: options.userAgent,
  });
}

const scheduleOnHost: Effects['schedule'] = (ms, work) => {
  const timer = setTimeout(work, ms).unref();
  return { cancel: () => clearTimeout(timer) };
};

/** The kubeconfig's `proxy-url` takes precedence over the environment. */
function throughProxy(target: Target, env: NodeJS.ProcessEnv): Target {
  const { cluster } = target;
  const proxyUrl = cluster.proxyUrl || proxyFor(cluster.server, env);
  return proxyUrl === undefined ? target : { ...target, cluster: { ...cluster, proxyUrl } };
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
