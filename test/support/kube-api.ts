/**
 * A Kubernetes API server that serves reads of pods, nodes and namespaces: lists whose pages all
 * show the moment of the first page, Status objects, bearer tokens and client certificates, and
 * watches with bookmarks. Tests can make it fail or give false answers.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isAdminPath, serveAdmin, type Changes } from './kube-api-admin.ts';
import { Faults, send, type RequestInfo } from './kube-api-faults.ts';
import { defaultUser, kubeconfig, type UserEntry } from './kube-api-kubeconfig.ts';
import { answerList, answerWatch } from './kube-api-list.ts';
import {
  containerStatuses,
  namespace,
  pod,
  status,
  type KubeObject,
  type PodOptions,
} from './kube-api-objects.ts';
import { Clock, Collection, type Bulk } from './kube-api-store.ts';
import type { Certificates } from './kube-api-tls.ts';

export { Faults, lies, type Fault, type ListBody, type RequestInfo } from './kube-api-faults.ts';
export { hostNetworkPod, namespace, node, pod, staticPod, type KubeObject } from './kube-api-objects.ts';
export { makeCertificates, type Certificates } from './kube-api-tls.ts';

export interface KubeApiOptions {
  /** 0 selects any free port. */
  readonly port?: number;
  /**
   * Pods that exist from the start. The server makes each one on request. Their order is by
   * namespace and name.
   */
  readonly bulk?: Bulk;
  /** Serves HTTPS. A client certificate of the same authority authenticates the user of its CN. */
  readonly tls?: Certificates;
  /**
   * User names by bearer token. When given, the server answers 401 to a request with neither a
   * valid token nor a certificate.
   */
  readonly tokens?: Readonly<Record<string, string>>;
  readonly forbid?: (user: string, verb: string, resource: string) => boolean;
  /**
   * Serves PUT and DELETE of /_test/pods/NAMESPACE/NAME and /_test/nodes/NAME, so that another
   * process can change the cluster.
   */
  readonly admin?: boolean;
}

export interface KubeApiServer extends Changes {
  readonly url: string;
  readonly faults: Faults;
  /** All requests so far. */
  readonly requests: RequestInfo[];
  /** Returns the number of connections accepted so far. */
  readonly connections: () => number;
  /** User names by bearer token. Tests may change them. */
  readonly tokens: Map<string, string>;
  readonly pods: Collection;
  readonly nodes: Collection;
  readonly namespaces: Collection;
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
}

export async function startKubeApi(options: KubeApiOptions = {}): Promise<KubeApiServer> {
  const clock = new Clock();
  const cluster: Cluster = {
    clock,
    pods: new Collection(clock, options.bulk),
    nodes: new Collection(clock),
    namespaces: new Collection(clock),
  };
  for (const name of ['default', 'kube-system']) cluster.namespaces.put(namespace(name));
  const tokens = new Map(Object.entries(options.tokens ?? {}));
  const faults = new Faults();
  const requests: RequestInfo[] = [];
  const { tls } = options;
  const listener = (req: http.IncomingMessage, res: http.ServerResponse): void => {
    const info = describe(req, requests.length + 1);
    requests.push(info);
    const work =
      options.admin === true && isAdminPath(info.path)
        ? serveAdmin(req, res, info.path, changes)
        : serve(req, res, info, { cluster, tokens, faults, options });
    work.catch((error: unknown) => res.destroy(error as Error));
  };
  const server =
    tls === undefined ? http.createServer(listener) : https.createServer(tlsOptions(tls), listener);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  let connections = 0;
  server.on('connection', () => connections++);
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const changes = changesTo(cluster);
  return {
    url,
    faults,
    requests,
    connections: () => connections,
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

function changesTo({ pods, nodes, namespaces }: Cluster): Changes {
  const putPod = (given: KubeObject | PodOptions): KubeObject => {
    const object = 'metadata' in given ? given : pod(given);
    const name = object.metadata.namespace ?? 'default';
    if (namespaces.get(`/${name}`) === undefined) namespaces.put(namespace(name));
    return pods.put(object);
  };
  return {
    putPod,
    putNode: (object) => nodes.put(object),
    deleteNode: (name) => nodes.delete(`/${name}`),
    deletePod: (space, name) => pods.delete(`${space}/${name}`),
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
  readonly options: KubeApiOptions;
}

async function serve(
  req: http.IncomingMessage,
  res: http.ServerResponse,
  info: RequestInfo,
  { cluster, tokens, faults, options }: Serving,
): Promise<void> {
  const fault = faults.next(info);
  const answer = (code: number, body: unknown): Promise<void> => send(res, code, body, fault, info);
  const user = authenticate(req, tokens);
  if (user === undefined) return answer(401, status(401, 'Unauthorized', 'Unauthorized'));
  if (info.method !== 'GET') {
    return answer(
      405,
      status(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource'),
    );
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
  if (verb === 'watch') return answerWatch(res, info, { ...target, collection, clock: cluster.clock });
  if (target.name === undefined) {
    const [code, body] = answerList(info, { ...target, collection, clock: cluster.clock });
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

interface Target {
  readonly resource: 'pods' | 'nodes' | 'namespaces';
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
}

function route(path: string): Target | undefined {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  if (parts[0] !== 'api' || parts[1] !== 'v1') return undefined;
  const rest = parts.slice(2);
  const [first, second, third, fourth] = rest;
  const named = (name: string | undefined): { name?: string } => (name === undefined ? {} : { name });
  if (first === 'namespaces' && third === 'pods' && second !== undefined && rest.length <= 4) {
    return { resource: 'pods', kind: 'Pod', namespace: second, ...named(fourth) };
  }
  if (first === 'pods' && rest.length === 1) return { resource: 'pods', kind: 'Pod' };
  if (first === 'nodes' && rest.length <= 2) return { resource: 'nodes', kind: 'Node', ...named(second) };
  if (first === 'namespaces' && rest.length <= 2)
    return { resource: 'namespaces', kind: 'Namespace', ...named(second) };
  return undefined;
}

function forbidden(user: string, verb: string, { resource, name, namespace: space }: Target): unknown {
  const where = space === undefined ? 'at the cluster scope' : `in the namespace "${space}"`;
  const which = name === undefined ? '' : ` "${name}"`;
  const message = `${resource}${which} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "" ${where}`;
  return status(403, 'Forbidden', message, {
    details: { ...(name === undefined ? {} : { name }), kind: resource },
  });
}
