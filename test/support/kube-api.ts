/**
 * A Kubernetes API server that serves reads of pods, nodes, namespaces, Services, EndpointSlices,
 * DaemonSets and StatefulSets: lists whose pages all show the moment of the first page, Status
 * objects, bearer tokens and client certificates, and watches with bookmarks. With `writes` it also
 * makes and deletes some of them. Tests can make it fail or give false answers.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { isAdminPath, serveAdmin, type Changes } from './kube-api-admin.ts';
import { Faults, send, type RequestInfo } from './kube-api-faults.ts';
import { defaultUser, kubeconfig, type UserEntry } from './kube-api-kubeconfig.ts';
import { answerExecs, type PodPrograms } from './kube-api-exec.ts';
import { answerList } from './kube-api-list.ts';
import {
  containerStatuses,
  namespace,
  pod,
  statefulSet,
  status,
  type KubeObject,
} from './kube-api-objects.ts';
import { forbidden, route } from './kube-api-route.ts';
import { endpointSlice, service } from './kube-api-services.ts';
import { Clock, Collection, type Bulk } from './kube-api-store.ts';
import type { Certificates } from './kube-api-tls.ts';
import { answerWatch, type OpenWatch } from './kube-api-watch.ts';
import { answerChange, logOf, sendLog, Writes, type WriteOptions } from './kube-api-writes.ts';

export { Faults, lies, type Fault, type ListBody, type RequestInfo } from './kube-api-faults.ts';
export {
  hostNetworkPod,
  namespace,
  node,
  pod,
  statefulSet,
  staticPod,
  type KubeObject,
} from './kube-api-objects.ts';
export { endpoint, endpointSlice, service } from './kube-api-services.ts';
export type { OpenWatch } from './kube-api-watch.ts';
export { makeCertificates, type Certificates } from './kube-api-tls.ts';

export interface KubeApiOptions {
  /** 0 selects any free port. */
  readonly port?: number;
  /** The server's address. Default: 127.0.0.1 */
  readonly host?: string;
  /**
   * Runs the work that opens the server's socket, for example in another network namespace. The
   * server then listens on all of the namespace's addresses.
   */
  readonly listenIn?: (listen: () => void) => void;
  /**
   * Pods that exist from the start. The server makes each one on request. Their order is by
   * namespace and name.
   */
  readonly bulk?: Bulk;
  /** Likewise Services and EndpointSlices. */
  readonly bulkServices?: Bulk;
  readonly bulkEndpointSlices?: Bulk;
  /** Serves HTTPS. A client certificate of the same authority authenticates the user of its CN. */
  readonly tls?: Certificates;
  /**
   * User names by bearer token. When given, the server answers 401 to a request with neither a
   * valid token nor a certificate.
   */
  readonly tokens?: Readonly<Record<string, string>>;
  readonly forbid?: (user: string, verb: string, resource: string) => boolean;
  /** Serves the paths of kube-api-admin.ts, so that another process can change the cluster. */
  readonly admin?: boolean;
  /** Makes and deletes namespaces, pods and Services on request. Default: every change is 405. */
  readonly writes?: WriteOptions;
  /** What programs in the pods do. Default: every exec is 404. */
  readonly exec?: PodPrograms;
  /** The interval of a watch's bookmarks. Default: 1000. A real server has about a minute. */
  readonly bookmarkMs?: number;
}

export interface KubeApiServer extends Changes {
  readonly url: string;
  readonly faults: Faults;
  /** All requests so far. */
  readonly requests: RequestInfo[];
  /** Returns the number of connections accepted so far. */
  readonly connections: () => number;
  /** Returns the number of connections that are open now. */
  readonly openConnections: () => number;
  /** The watches that clients have open, in the order of their requests. */
  readonly watches: ReadonlySet<OpenWatch>;
  /** User names by bearer token. Tests may change them. */
  readonly tokens: Map<string, string>;
  readonly pods: Collection;
  readonly nodes: Collection;
  readonly namespaces: Collection;
  readonly services: Collection;
  readonly endpointslices: Collection;
  readonly daemonsets: Collection;
  readonly statefulsets: Collection;
  /**
   * Forgets all history, as etcd's compaction does. The server then answers 410 to tokens of
   * earlier lists.
   */
  readonly compact: () => void;
  /**
   * Writes a kubeconfig for `user`. Default: the first token, else the client certificate, else no
   * credentials.
   */
  readonly writeKubeconfig: (path: string, user?: UserEntry) => void;
  readonly close: () => Promise<void>;
}

interface Cluster {
  readonly clock: Clock;
  readonly pods: Collection;
  readonly nodes: Collection;
  readonly namespaces: Collection;
  readonly services: Collection;
  readonly endpointslices: Collection;
  readonly daemonsets: Collection;
  readonly statefulsets: Collection;
}

export async function startKubeApi(options: KubeApiOptions = {}): Promise<KubeApiServer> {
  const clock = new Clock();
  const cluster: Cluster = {
    clock,
    pods: new Collection(clock, options.bulk),
    nodes: new Collection(clock),
    namespaces: new Collection(clock),
    services: new Collection(clock, options.bulkServices),
    endpointslices: new Collection(clock, options.bulkEndpointSlices),
    daemonsets: new Collection(clock),
    statefulsets: new Collection(clock),
  };
  const writes = options.writes && new Writes(cluster, options.writes);
  for (const name of ['default', 'kube-system']) cluster.namespaces.put(namespace(name));
  const tokens = new Map(Object.entries(options.tokens ?? {}));
  const faults = new Faults();
  const requests: RequestInfo[] = [];
  const watches = new Set<OpenWatch>();
  const { tls } = options;
  const listener = (req: http.IncomingMessage, res: http.ServerResponse): void => {
    const info = describe(req, requests.length + 1);
    requests.push(info);
    const work =
      options.admin === true && isAdminPath(info.path)
        ? serveAdmin(req, res, info.path, changes)
        : serve(req, res, info, { cluster, tokens, faults, watches, options, writes });
    work.catch((error: unknown) => res.destroy(error as Error));
  };
  const server =
    tls === undefined ? http.createServer(listener) : https.createServer(tlsOptions(tls), listener);
  const { host = '127.0.0.1', port = 0, listenIn } = options;
  await new Promise<void>((resolve) => {
    // Node.js opens the socket at once only when it has no name to look up.
    if (listenIn) listenIn(() => void server.listen(port, resolve));
    else server.listen(port, host, resolve);
  });
  answerExecs(server, {
    programs: options.exec,
    pods: cluster.pods,
    userOf: (req) => authenticate(req, tokens),
    forbid: options.forbid,
  });
  let connections = 0;
  let openConnections = 0;
  server.on('connection', (socket: Socket) => {
    connections++;
    openConnections++;
    socket.on('close', () => openConnections--);
  });
  const url = `${tls === undefined ? 'http' : 'https'}://${host}:${(server.address() as AddressInfo).port}`;
  const changes = changesTo(cluster);
  return {
    url,
    faults,
    requests,
    connections: () => connections,
    openConnections: () => openConnections,
    watches,
    tokens,
    ...cluster,
    ...changes,
    compact: () => {
      clock.compacted = clock.next();
    },
    writeKubeconfig: (path, user) =>
      writeFileSync(path, kubeconfig(url, tls, user ?? defaultUser(tls, tokens)), { mode: 0o600 }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const tlsOptions = (tls: Certificates): https.ServerOptions => ({
  cert: readFileSync(tls.serverCertFile),
  key: readFileSync(tls.serverKeyFile),
  ca: readFileSync(tls.caFile),
  requestCert: true,
  // As the API server does: a client without a certificate may still have a token.
  rejectUnauthorized: false,
});

function changesTo(cluster: Cluster): Changes {
  const { pods, nodes, namespaces, services, endpointslices, statefulsets } = cluster;
  const putInto = <Options extends object>(
    collection: Collection,
    make: (options: Options) => KubeObject,
  ) => {
    return (given: KubeObject | Options): KubeObject => {
      const object = 'metadata' in given ? given : make(given);
      const name = object.metadata.namespace ?? 'default';
      if (namespaces.get(`/${name}`) === undefined) namespaces.put(namespace(name));
      return collection.put(object);
    };
  };
  const deleteFrom = (collection: Collection) => (space: string, name: string) =>
    collection.delete(`${space}/${name}`);
  const putPod = putInto(pods, pod);
  return {
    putPod,
    deletePod: deleteFrom(pods),
    putNode: (object) => nodes.put(object),
    deleteNode: (name) => nodes.delete(`/${name}`),
    putService: putInto(services, service),
    deleteService: deleteFrom(services),
    putEndpointSlice: putInto(endpointslices, endpointSlice),
    deleteEndpointSlice: deleteFrom(endpointslices),
    putStatefulSet: putInto(statefulsets, statefulSet),
    deleteStatefulSet: deleteFrom(statefulsets),
    finishPod: (space, name, phase = 'Succeeded', container) => {
      const object = pods.get(`${space}/${name}`);
      if (object === undefined) throw new Error(`no pod ${space}/${name}`);
      const statuses = containerStatuses(phase, container);
      putPod({ ...object, status: { ...object.status, phase, containerStatuses: statuses } });
    },
  };
}

function describe(req: http.IncomingMessage, number: number): RequestInfo {
  const url = new URL(req.url ?? '/', 'http://server');
  const page = pageOf(url.searchParams.get('continue'));
  return {
    number,
    method: req.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: req.headers,
    page,
  };
}

/** Returns the page number that a token carries, so that a fault can target one page. */
function pageOf(token: string | null): number {
  if (token === null) return 1;
  try {
    return (JSON.parse(Buffer.from(token, 'base64url').toString()) as { page: number }).page;
  } catch {
    return 2;
  }
}

interface Serving {
  readonly cluster: Cluster;
  readonly tokens: ReadonlyMap<string, string>;
  readonly faults: Faults;
  readonly watches: Set<OpenWatch>;
  readonly options: KubeApiOptions;
  readonly writes: Writes | undefined;
}

async function serve(
  req: http.IncomingMessage,
  res: http.ServerResponse,
  info: RequestInfo,
  { cluster, tokens, faults, watches, options, writes }: Serving,
): Promise<void> {
  const fault = faults.next(info);
  const answer = (code: number, body: unknown): Promise<void> => send(res, code, body, fault, info);
  const user = authenticate(req, tokens);
  if (user === undefined) return answer(401, status(401, 'Unauthorized', 'Unauthorized'));
  if (info.method !== 'GET') {
    // The connection broke before the server had all of it.
    if (fault?.kind === 'reset') return answer(200, {});
    return answer(...(await answerChange(req, info, user, writes, options.forbid)));
  }
  const log = logOf(info.path);
  if (log !== undefined && writes !== undefined) {
    sendLog(res, log, user, writes, options.forbid);
    return;
  }
  if (info.path === '/version') return answer(200, { major: '1', minor: '34', gitVersion: 'v1.34.0' });
  const target = route(info.path);
  if (target === undefined) {
    return answer(
      404,
      status(404, 'NotFound', 'the server could not find the requested resource', { details: {} }),
    );
  }
  const watching = info.query.get('watch') === 'true' || info.query.get('watch') === '1';
  const verb = target.name === undefined ? (watching ? 'watch' : 'list') : 'get';
  if (options.forbid?.(user, verb, target.resource) === true)
    return answer(403, forbidden(user, verb, target));
  const collection = cluster[target.resource];
  const listed = { ...target, collection, clock: cluster.clock };
  if (verb === 'watch') {
    // A fault other than these hits the watch before it begins.
    const stalled = fault?.kind === 'hang' && fault.afterBytes !== undefined;
    if (fault !== undefined && fault.kind !== 'slow' && !stalled) return answer(200, {});
    if (fault?.kind === 'slow') await sleep(fault.delayMs);
    const { bookmarkMs = 1000 } = options;
    return answerWatch(res, info, { ...listed, bookmarkMs, stalled, open: watches });
  }
  if (target.name === undefined) {
    const [code, body] = answerList(info, listed);
    return answer(code, body);
  }
  const object = collection.get(`${target.namespace ?? ''}/${target.name}`);
  if (object !== undefined) return answer(200, object);
  const details = { name: target.name, kind: target.resource };
  return answer(404, status(404, 'NotFound', `${target.resource} "${target.name}" not found`, { details }));
}

/**
 * Returns the user of the bearer token, else the user of the client certificate. Where no tokens
 * are set, anonymous clients may read.
 */
function authenticate(req: http.IncomingMessage, tokens: ReadonlyMap<string, string>): string | undefined {
  const token = /^Bearer (.*)$/.exec(req.headers.authorization ?? '')?.[1];
  if (token !== undefined && tokens.has(token)) return tokens.get(token);
  const socket = req.socket as Partial<TLSSocket>;
  // getPeerCertificate exists only over TLS. Its subject is empty without a certificate.
  const name: unknown = socket.authorized === true ? socket.getPeerCertificate?.().subject.CN : undefined;
  if (typeof name === 'string') return name;
  return tokens.size === 0 ? 'system:anonymous' : undefined;
}
