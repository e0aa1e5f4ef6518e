/**
 * Makes and deletes objects in the cluster, for commands that an operator starts for that. All else
 * of cellnet only reads, and never opens this.
 */
import type { Client } from './client.ts';
import { clientOf, type ConnectOptions } from './connect.ts';
import { asObject, asText, ofKind, type Json } from './decode.ts';
import { within, type Limit } from './limit.ts';
import { decoding, listAll } from './list.ts';
import { POD, type ObjectType } from './object-types.ts';
import { execInPod, type ExecEnded } from './pod-exec.ts';
import { segment } from './pods.ts';
import { saysNotFound, type Purpose } from './status.ts';

/** An object to be made. Its labels tell it from one that somebody else made. */
export interface NewObject {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec?: object;
}

/** Where an object is. Without a namespace: at cluster scope. */
export interface Place {
  readonly namespace?: string;
  readonly name: string;
}

/** Which part of a container's log. */
export interface LogPart {
  readonly tailLines?: number;
  /** Of the container before its last restart. */
  readonly previous?: boolean;
}

/** Longest output of a program in a pod, in bytes. */
const LONGEST_OUTPUT = 32_000_000;

export interface KubeWriter {
  readonly server: string;
  /** Resolves to undefined only when the server reports that this very object does not exist. */
  get(type: ObjectType, place: Place): Promise<Json | undefined>;
  /** Lists the objects of a namespace, or of the whole cluster. */
  list(type: ObjectType, of?: { namespace?: string; labelSelector?: string }): Promise<readonly Json[]>;
  /** Returns what a container of the pod wrote so far, or the end of it. */
  log(place: Required<Place>, container: string, part?: LogPart): Promise<string>;
  /**
   * Runs a program in a container of the pod, and returns what it printed.
   * @param deadlineMs longest time for the whole of it
   */
  exec(
    place: Required<Place>,
    container: string,
    argv: readonly string[],
    deadlineMs: number,
  ): Promise<ExecEnded>;
  /** @throws KubeError with status 409 when another object has the name */
  create(type: ObjectType, namespace: string | undefined, object: NewObject): Promise<Json>;
  /** Deletes the object with this UID. It is no error when that one is gone already. */
  remove(type: ObjectType, place: Place, uid: string): Promise<void>;
  close(): void;
}

export interface WriterOptions extends ConnectOptions {
  /** What the operator does where the user lacks a right. */
  readonly grant?: string;
}

/** Sends no request yet. @throws KubeError `config` */
export function connectWriter(options: WriterOptions): KubeWriter {
  return new Writer(clientOf(options), options);
}

type Bounds = Pick<WriterOptions, 'deadlineMs' | 'listDeadlineMs' | 'grant'>;

class Writer implements KubeWriter {
  readonly #client: Client;
  readonly #bounds: Bounds;

  constructor(client: Client, bounds: Bounds) {
    this.#client = client;
    this.#bounds = bounds;
  }

  get server(): string {
    return this.#client.server;
  }

  close(): void {
    this.#client.close();
  }

  get(type: ObjectType, place: Place): Promise<Json | undefined> {
    return this.#within(`get ${told(type, place)}`, (limit) => this.#get(type, place, limit));
  }

  async list(
    type: ObjectType,
    { namespace, labelSelector }: { namespace?: string; labelSelector?: string } = {},
  ): Promise<readonly Json[]> {
    const listing = {
      path: pathOf(type, namespace),
      kind: type.kind,
      apiVersion: apiVersionOf(type),
      resource: type.resource,
      scope: this.#scope(namespace),
      decode: (item: unknown) => asObject(item, type.kind),
      identify: identityOf,
      ...(labelSelector !== undefined && { labelSelector }),
    };
    const { deadlineMs, listDeadlineMs = deadlineMs } = this.#bounds;
    const work = async (limit: Limit): Promise<readonly Json[]> =>
      (await listAll(this.#client, listing, limit)).items;
    return await this.#within(`list ${type.resource}`, work, listDeadlineMs);
  }

  async log(place: Required<Place>, container: string, part: LogPart = {}): Promise<string> {
    const query = [
      `container=${encodeURIComponent(container)}`,
      ...(part.tailLines === undefined ? [] : [`tailLines=${part.tailLines}`]),
      ...(part.previous ? ['previous=true'] : []),
    ].join('&');
    const path = `${pathOf(POD, place.namespace, place.name)}/log?${query}`;
    const purpose: Purpose = { verb: 'get', resource: 'pods/log', ...this.#scope(place.namespace) };
    return await this.#within(`get the log of pod ${place.namespace}/${place.name}`, async (limit) => {
      const reply = await this.#client.getText(path, purpose, limit);
      if (reply.kind === 'other') throw reply.error;
      return String(reply.value);
    });
  }

  async exec(
    { namespace, name }: Required<Place>,
    container: string,
    argv: readonly string[],
    deadlineMs: number,
  ): Promise<ExecEnded> {
    const words = argv.map((word) => `&command=${encodeURIComponent(word)}`).join('');
    const query = `container=${encodeURIComponent(container)}&stdout=true&stderr=true${words}`;
    const path = `${pathOf(POD, namespace, name)}/exec?${query}`;
    const purpose: Purpose = { verb: 'create', resource: 'pods/exec', ...this.#scope(namespace) };
    const { server } = this;
    const of = { url: new URL(server + path), purpose, server, maxOutput: LONGEST_OUTPUT };
    const work = (limit: Limit): Promise<ExecEnded> =>
      this.#client.withSession(limit, (session) => execInPod({ ...of, session }, limit));
    return await this.#within(`run ${argv[0] ?? ''} in pod ${namespace}/${name}`, work, deadlineMs);
  }

  async create(type: ObjectType, namespace: string | undefined, object: NewObject): Promise<Json> {
    const place = { ...(namespace !== undefined && { namespace }), name: object.metadata.name };
    const path = pathOf(type, namespace);
    const purpose: Purpose = { verb: 'create', resource: type.resource, ...this.#scope(namespace) };
    const body = JSON.stringify({ apiVersion: apiVersionOf(type), kind: type.kind, ...object });
    return await this.#within(`create ${told(type, place)}`, async (limit) => {
      for (let attempt = 1; ; attempt++) {
        const reply = await this.#client.change({ method: 'POST', body }, path, purpose, limit);
        if (reply.kind === 'found') return decoding(this.server, 'create', () => objectOf(type, reply.value));
        if (reply.kind === 'failed') await this.#client.pauseAfter(reply, attempt, limit);
        else if (attempt === 1 || reply.error.status !== 409) throw reply.error;
        // After an unclear failure the server may have made it all the same.
        const there = await this.#get(type, place, limit);
        if (there !== undefined && hasLabelsOf(there, object)) return there;
        if (reply.kind === 'other') throw reply.error;
      }
    });
  }

  async remove(type: ObjectType, place: Place, uid: string): Promise<void> {
    const path = pathOf(type, place.namespace, place.name);
    const purpose: Purpose = { verb: 'delete', resource: type.resource, ...this.#scope(place.namespace) };
    const options = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid } };
    const message = { method: 'DELETE', body: JSON.stringify(options) } as const;
    await this.#within(`delete ${told(type, place)}`, async (limit) => {
      for (let attempt = 1; ; attempt++) {
        const reply = await this.#client.change(message, path, purpose, limit);
        if (reply.kind === 'found') return;
        if (reply.kind === 'failed') {
          // With the UID in it a second deletion can hit nothing else.
          await this.#client.pauseAfter(reply, attempt, limit);
          continue;
        }
        const { status } = reply.error;
        const isGone = status === 404 && saysNotFound(reply.status, type.resource, place.name);
        // 409: the name is another object's by now, or the namespace is being deleted already.
        if (isGone || status === 409) return;
        throw reply.error;
      }
    });
  }

  async #get(type: ObjectType, place: Place, limit: Limit): Promise<Json | undefined> {
    const purpose: Purpose = { verb: 'get', resource: type.resource, ...this.#scope(place.namespace) };
    const reply = await this.#client.get(pathOf(type, place.namespace, place.name), purpose, limit);
    if (reply.kind === 'found')
      return decoding(this.server, `get ${told(type, place)}`, () => objectOf(type, reply.value));
    if (reply.error.status === 404 && saysNotFound(reply.status, type.resource, place.name)) return undefined;
    throw reply.error;
  }

  #scope(namespace: string | undefined): Pick<Purpose, 'namespace' | 'grant'> {
    const { grant } = this.#bounds;
    return { ...(namespace !== undefined && { namespace }), ...(grant !== undefined && { grant }) };
  }

  #within<T>(
    what: string,
    work: (limit: Limit) => Promise<T>,
    deadlineMs = this.#bounds.deadlineMs,
  ): Promise<T> {
    return within({ deadlineMs, what: `${this.server}: ${what}` }, work);
  }
}

const apiVersionOf = ({ api }: ObjectType): string => api.replace(/^\/apis?\//, '');

function pathOf({ api, resource }: ObjectType, namespace?: string, name?: string): string {
  const space = namespace === undefined ? '' : `/namespaces/${segment(namespace, 'namespace')}`;
  return `${api}${space}/${resource}${name === undefined ? '' : `/${segment(name, 'name')}`}`;
}

const told = ({ resource }: ObjectType, { namespace, name }: Place): string =>
  `${resource} ${namespace === undefined ? '' : `${namespace}/`}${name}`;

function objectOf({ kind }: ObjectType, value: unknown): Json {
  return asObject(ofKind(value, kind), 'the answer');
}

function identityOf(object: Json): { uid: string; namespace: string; name: string } {
  const metadata = asObject(object['metadata'], 'metadata');
  return {
    uid: asText(metadata['uid'], 'metadata.uid'),
    namespace: typeof metadata['namespace'] === 'string' ? metadata['namespace'] : '',
    name: asText(metadata['name'], 'metadata.name'),
  };
}

function hasLabelsOf(there: Json, { metadata }: NewObject): boolean {
  const labels = asObject(asObject(there['metadata'], 'metadata')['labels'] ?? {}, 'metadata.labels');
  return Object.entries(metadata.labels).every(([key, value]) => labels[key] === value);
}
