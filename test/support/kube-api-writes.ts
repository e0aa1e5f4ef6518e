/**
 * POST and DELETE of the API server, and a pod's log: what `cnictl connectivity test` changes.
 * Namespaces and pods are only marked as deleted: controllers.ts and kubelet.ts end them.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestInfo } from './kube-api-faults.ts';
import { status, type KubeObject } from './kube-api-objects.ts';
import { forbidden, route, type Target } from './kube-api-route.ts';
import { keyOf, type Collection } from './kube-api-store.ts';

export interface WriteOptions {
  /** Where Services get their addresses: the first three bytes, or all but the last group. */
  readonly serviceSubnets: readonly string[];
  /** Returns what the pod's container wrote; undefined: it has not begun. */
  readonly log: (namespace: string, pod: string) => string | undefined;
  /** How long a new namespace has no service account. Default: 200 */
  readonly accountAfterMs?: number;
}

/** A status code with its body. */
type Answer = readonly [code: number, body: unknown];

type Collections = Readonly<Record<'pods' | 'services' | 'namespaces', Collection>>;

const FIRST_NODE_PORT = 30_100;
/** Service addresses are 100 to 249, again and again. */
const FIRST_SERVICE = 100;
const SERVICES = 150;
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

export class Writes {
  readonly #cluster: Collections;
  readonly options: WriteOptions;
  readonly #accounts = new Map<string, number>();
  #services = 0;
  #nextNodePort = FIRST_NODE_PORT;

  constructor(cluster: Collections, options: WriteOptions) {
    this.#cluster = cluster;
    this.options = options;
  }

  /** @param target without a name */
  create(target: Target, user: string, body: unknown): Answer {
    const collection = this.#collectionOf(target);
    if (collection === undefined || target.name !== undefined) return NOT_ALLOWED;
    const given = body as Partial<KubeObject>;
    const name = given.metadata?.name ?? '';
    const wrong = invalidity(target, given, name);
    if (wrong !== undefined) return invalid(target, name, wrong);
    const blocked = this.#blocked(target, user, name);
    if (blocked !== undefined) return blocked;
    const object = this.#complete(target, given, name);
    if (collection.get(keyOf(object)) !== undefined) return alreadyExists(target, name);
    if (target.resource === 'namespaces')
      this.#accounts.set(name, performance.now() + (this.options.accountAfterMs ?? 200));
    return [201, collection.put(object)];
  }

  remove({ name = '', ...target }: Target, body: unknown): Answer {
    const collection = this.#collectionOf(target);
    if (collection === undefined) return NOT_ALLOWED;
    const key = `${target.namespace ?? ''}/${name}`;
    const object = collection.get(key);
    if (object === undefined) return notFound(target, name);
    const { preconditions } = (body ?? {}) as { preconditions?: { uid?: string } };
    if (preconditions?.uid !== undefined && preconditions.uid !== object.metadata.uid) {
      const told = `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${object.metadata.uid})`;
      return [409, status(409, 'Conflict', told, { details: { name, kind: target.resource } })];
    }
    if (target.resource !== 'services') return [200, markDeleted(collection, object)];
    collection.delete(key);
    const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
    return [200, { ...success, details: { name, kind: target.resource, uid: object.metadata.uid } }];
  }

  #collectionOf({ resource }: Pick<Target, 'resource'>): Collection | undefined {
    return resource === 'pods' || resource === 'services' || resource === 'namespaces'
      ? this.#cluster[resource]
      : undefined;
  }

  /** A namespace that is missing, ends, or has no service account yet takes nothing. */
  #blocked(target: Target, user: string, name: string): Answer | undefined {
    const { namespace: space, resource } = target;
    if (space === undefined) return undefined;
    const found = this.#cluster.namespaces.get(`/${space}`);
    if (found === undefined) return notFound({ resource: 'namespaces' }, space);
    const details = { name, kind: resource };
    if (found.metadata.deletionTimestamp !== undefined)
      return [
        403,
        status(
          403,
          'Forbidden',
          `unable to create new content in namespace ${space} because it is being terminated`,
          { details },
        ),
      ];
    if (resource !== 'pods' || performance.now() >= (this.#accounts.get(space) ?? 0)) return undefined;
    const why = `error looking up service account ${space}/default: serviceaccount "default" not found`;
    const body = forbidden(user, 'create', target) as { message: string };
    return [403, { ...body, message: `pods "${name}" is forbidden: ${why}` }];
  }

  #complete(
    { kind, apiVersion, namespace, resource }: Target,
    given: Partial<KubeObject>,
    name: string,
  ): KubeObject {
    const metadata = {
      ...given.metadata,
      ...{ name, uid: randomUUID(), creationTimestamp: now() },
      ...(namespace !== undefined && { namespace }),
    };
    const base = { ...given, kind, apiVersion, metadata };
    if (resource === 'services')
      return { ...base, spec: this.#serviceSpec(given.spec ?? {}), status: { loadBalancer: {} } };
    if (resource === 'namespaces')
      return { ...base, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } };
    return { ...base, status: { phase: 'Pending', qosClass: 'Burstable' } };
  }

  #serviceSpec(spec: Record<string, unknown>): Record<string, unknown> {
    const number = FIRST_SERVICE + (this.#services++ % SERVICES);
    const { serviceSubnets } = this.options;
    const subnets =
      spec['ipFamilyPolicy'] === 'PreferDualStack' ? serviceSubnets : serviceSubnets.slice(0, 1);
    const clusterIPs = subnets.map(
      (subnet) => `${subnet}${subnet.includes(':') ? number.toString(16) : number}`,
    );
    const { type = 'ClusterIP', ports } = spec as { type?: string; ports: readonly object[] };
    const withNodePort = (port: object): object => ({ ...port, nodePort: this.#nextNodePort++ });
    return {
      ...{ sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', type },
      ...(type === 'NodePort' && { externalTrafficPolicy: 'Cluster' }),
      ...spec,
      ...(spec['sessionAffinity'] === 'ClientIP' && {
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
      }),
      ports: type === 'NodePort' ? ports.map(withNodePort) : ports,
      ...{ clusterIP: clusterIPs[0], clusterIPs },
      ipFamilies: clusterIPs.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4')),
      ipFamilyPolicy: clusterIPs.length > 1 ? 'PreferDualStack' : 'SingleStack',
    };
  }
}

const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

/** A second deletion changes nothing. */
function markDeleted(collection: Collection, object: KubeObject): KubeObject {
  if (object.metadata.deletionTimestamp !== undefined) return object;
  const isNamespace = object.kind === 'Namespace';
  return collection.put({
    ...object,
    metadata: { ...object.metadata, deletionTimestamp: now() },
    ...(isNamespace && { status: { phase: 'Terminating' } }),
  });
}

/** Returns what the server would refuse; undefined if nothing. */
function invalidity(
  { kind }: Target,
  { spec, kind: given }: Partial<KubeObject>,
  name: string,
): string | undefined {
  if (given !== kind) return `kind: Invalid value: "${given ?? ''}"`;
  if (!NAME.test(name)) return `metadata.name: Invalid value: "${name}"`;
  if (kind === 'Pod' && !Array.isArray(spec?.['containers'])) return 'spec.containers: Required value';
  if (kind === 'Service' && !Array.isArray(spec?.['ports'])) return 'spec.ports: Required value';
  return undefined;
}

const NOT_ALLOWED: Answer = [
  405,
  status(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource'),
];

const invalid = ({ kind, resource }: Target, name: string, wrong: string): Answer => [
  422,
  status(422, 'Invalid', `${kind} "${name}" is invalid: ${wrong}`, { details: { name, kind: resource } }),
];

const alreadyExists = ({ resource }: Target, name: string): Answer => [
  409,
  status(409, 'AlreadyExists', `${resource} "${name}" already exists`, { details: { name, kind: resource } }),
];

const notFound = ({ resource }: Pick<Target, 'resource'>, name: string): Answer => [
  404,
  status(404, 'NotFound', `${resource} "${name}" not found`, { details: { name, kind: resource } }),
];

type Forbid = ((user: string, verb: string, resource: string) => boolean) | undefined;

/** Carries out a POST or DELETE. Without `writes` none is allowed. */
export async function answerChange(
  req: IncomingMessage,
  { path, method }: RequestInfo,
  user: string,
  writes: Writes | undefined,
  forbid: Forbid,
): Promise<Answer> {
  let text = '';
  for await (const chunk of req) text += String(chunk);
  const target = route(path);
  if (writes === undefined || target === undefined || (method !== 'POST' && method !== 'DELETE'))
    return NOT_ALLOWED;
  const verb = method === 'POST' ? 'create' : 'delete';
  if (forbid?.(user, verb, target.resource) === true) return [403, forbidden(user, verb, target)];
  const body: unknown = text === '' ? undefined : JSON.parse(text);
  return verb === 'create' ? writes.create(target, user, body) : writes.remove(target, body);
}

interface LogTarget {
  readonly namespace: string;
  readonly name: string;
}

/** Returns the pod whose log the path names. */
export function logOf(path: string): LogTarget | undefined {
  const [, namespace, name] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/log$/.exec(path) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

export function sendLog(
  res: ServerResponse,
  { namespace, name }: LogTarget,
  user: string,
  writes: Writes,
  forbid: Forbid,
): void {
  const send = (code: number, type: string, text: string): void => {
    res.writeHead(code, { 'content-type': type });
    res.end(text);
  };
  const text = writes.options.log(namespace, name);
  const what = { resource: 'pods/log', group: '', apiVersion: 'v1', kind: 'Pod', namespace, name } as const;
  if (forbid?.(user, 'get', what.resource) === true)
    send(403, 'application/json', JSON.stringify(forbidden(user, 'get', what)));
  else if (text === undefined) send(400, 'application/json', JSON.stringify(waitsToStart(name)));
  else send(200, 'text/plain', text);
}

const waitsToStart = (name: string): unknown =>
  status(400, 'BadRequest', `container "main" in pod "${name}" is waiting to start: ContainerCreating`);
