import { ANNOTATION_PREFIX } from '../../ipam/model/annotations.ts';
import type { Facts, FactSource, Labels, PodIdentity } from '../../ipam/model/rule.ts';
import type { Client } from './client.ts';
import { clientOf, type ConnectOptions } from './connect.ts';
import { asArray, asObject, asOptionalText, asText, DecodeError, ofKind, type Json } from './decode.ts';
import { within, type Limit } from './limit.ts';
import { decoding } from './list.ts';
import { podPath, segment } from './pods.ts';

/** The pod that a rule asks about. */
export interface AskedPod extends PodIdentity {
  /** Absent where the runtime does not tell it. */
  readonly uid: string | undefined;
}

/** Asks an API server about pods. */
export interface FactsReader {
  /** @throws KubeError, also for what does not exist, and for another pod of the same name */
  ask(pod: AskedPod, sources: readonly FactSource[]): Promise<Facts>;
  close(): void;
}

/**
 * Finds the API server. Sends no request yet.
 * @throws KubeError `config`
 */
export function readFacts(options: ConnectOptions): FactsReader {
  const client = clientOf(options);
  return {
    ask: (pod, sources) => {
      const what = `${client.server}: ask about pod ${pod.namespace}/${pod.name}`;
      return within({ deadlineMs: options.deadlineMs, what }, async (limit) => {
        const answers = await Promise.all(sources.map((source) => READ[source](client, pod, limit)));
        return Object.assign({}, ...answers) as Facts;
      });
    },
    close: () => client.close(),
  };
}

const READ: Readonly<Record<FactSource, (client: Client, pod: AskedPod, limit: Limit) => Promise<Facts>>> = {
  pod: (client, pod, limit) =>
    readPod(client, pod, limit, ({ metadata }) => ({
      pod: podFactsOf(metadata),
    })),
  namespace: (client, { namespace }, limit) => {
    const path = `/api/v1/namespaces/${segment(namespace, 'namespace')}`;
    return read(
      client,
      { path, resource: 'namespaces', kind: 'Namespace', name: namespace },
      limit,
      labelsAs('namespace'),
    );
  },
  // The node's name here may have a domain that its name in Kubernetes lacks, or the other way
  // round: the pod tells it.
  node: async (client, pod, limit) => {
    const name = await readPod(client, pod, limit, ({ spec }) => asText(spec['nodeName'], 'spec.nodeName'));
    const path = `/api/v1/nodes/${segment(name, 'node name')}`;
    return await read(client, { path, resource: 'nodes', kind: 'Node', name }, limit, labelsAs('node'));
  },
};

/** What to get, and what it must be. */
interface Asked {
  readonly path: string;
  readonly resource: 'pods' | 'namespaces' | 'nodes';
  readonly kind: string;
  readonly name: string;
}

interface Found {
  readonly metadata: Json;
  readonly spec: Json;
}

const labelsAs =
  (source: 'namespace' | 'node') =>
  ({ metadata }: Found): Facts => ({ [source]: { labels: labelsOf(metadata) } });

function readPod<T>(
  client: Client,
  { namespace, name, uid }: AskedPod,
  limit: Limit,
  decode: (found: Found) => T,
): Promise<T> {
  const path = podPath(namespace, name);
  return read(client, { path, resource: 'pods', kind: 'Pod', name }, limit, (found) => {
    const { metadata } = found;
    if (metadata['namespace'] !== namespace)
      throw new DecodeError('metadata.namespace', `"${namespace}"`, metadata['namespace']);
    // The runtime may still work for a pod that is gone, while another one has its name.
    if (uid !== undefined && !uidsOf(metadata).includes(uid))
      throw new DecodeError('metadata.uid', `"${uid}"`, metadata['uid']);
    return decode(found);
  });
}

async function read<T>(
  client: Client,
  { path, resource, kind, name }: Asked,
  limit: Limit,
  decode: (found: Found) => T,
): Promise<T> {
  const reply = await client.get(path, { verb: 'get', resource }, limit);
  if (reply.kind === 'other') throw reply.error;
  return decoding(client.server, `get ${path}`, () => {
    const { metadata: about, spec = {} } = asObject(ofKind(reply.value, kind), 'the answer');
    const metadata = asObject(about, 'metadata');
    if (metadata['name'] !== name) throw new DecodeError('metadata.name', `"${name}"`, metadata['name']);
    return decode({ metadata, spec: asObject(spec, 'spec') });
  });
}

/** A static pod has its kubelet's hash as its UID, the API server's copy of it another one. */
function uidsOf(metadata: Json): unknown[] {
  const annotations = metadata['annotations'];
  const mirrored = typeof annotations === 'object' ? (annotations as Json | null) : undefined;
  return [metadata['uid'], mirrored?.['kubernetes.io/config.mirror']];
}

/** @throws DecodeError */
export const podFactsOf = (metadata: Json): NonNullable<Facts['pod']> => ({
  labels: labelsOf(metadata),
  ownerKind: ownerKindOf(metadata),
  annotations: Object.fromEntries(
    Object.entries(textsOf(metadata, 'annotations')).filter(([key]) => key.startsWith(ANNOTATION_PREFIX)),
  ),
});

const labelsOf = (metadata: Json): Labels => textsOf(metadata, 'labels');

function textsOf(metadata: Json, field: 'labels' | 'annotations'): Readonly<Record<string, string>> {
  const texts = metadata[field];
  if (texts === undefined || texts === null) return {};
  return Object.fromEntries(
    Object.entries(asObject(texts, `metadata.${field}`)).map(([key, value]) => {
      if (typeof value !== 'string') throw new DecodeError(`metadata.${field}['${key}']`, 'a text', value);
      return [key, value];
    }),
  );
}

/** Returns the kind of the pod's controller (meta/v1 OwnerReference). */
function ownerKindOf(metadata: Json): string | undefined {
  const references = metadata['ownerReferences'];
  if (references === undefined || references === null) return undefined;
  const path = 'metadata.ownerReferences';
  const owner = asArray(references, path)
    .map((each) => asObject(each, path))
    .find(({ controller }) => controller === true);
  return owner && asOptionalText(owner['kind'], `${path}.kind`);
}
