import type { Facts, FactSource } from '../../ipam/model/rule.ts';
import type { Client } from './client.ts';
import { clientOf, type ConnectOptions } from './connect.ts';
import { asObject, asText, DecodeError, ofKind, type Json } from './decode.ts';
import { within, type Limit } from './limit.ts';
import { decoding } from './list.ts';
import { NodePods } from './node-pods.ts';
import { describePod, isOf, labelsOf, type AskedPod, type DescribedPod } from './described-pod.ts';
import { podPath, segment } from './pods.ts';
import type { ReflectorEffects } from './reflector.ts';

export type { AskedPod } from './described-pod.ts';

/** Asks an API server about pods. */
export interface FactsReader {
  /** @throws KubeError, also for what does not exist, and for another pod of the same name */
  ask(pod: AskedPod, sources: readonly FactSource[]): Promise<Facts>;
  close(): void;
}

/**
 * Finds the API server. Sends no request yet.
 * @param follow present in a process that lives on: from the first pod on it follows all pods of
 *   that pod's node, and asks for those only of which it does not know yet
 * @throws KubeError `config`
 */
export function readFacts(options: ConnectOptions, follow?: ReflectorEffects): FactsReader {
  const client = clientOf(options);
  const known = follow && new NodePods(client, follow);
  return {
    ask: (pod, sources) => {
      const what = `${client.server}: ask about pod ${pod.namespace}/${pod.name}`;
      return within({ deadlineMs: options.deadlineMs, what }, async (limit) => {
        const context = { client, known, pod, limit };
        const answers = await Promise.all(sources.map((source) => READ[source](context)));
        return Object.assign({}, ...answers) as Facts;
      });
    },
    close: () => {
      known?.close();
      client.close();
    },
  };
}

interface Context {
  readonly client: Client;
  readonly known: NodePods | undefined;
  readonly pod: AskedPod;
  readonly limit: Limit;
}

const READ: Readonly<Record<FactSource, (context: Context) => Promise<Facts>>> = {
  pod: async (context) => ({ pod: (await readPod(context)).facts }),
  namespace: (context) => {
    const { namespace } = context.pod;
    const path = `/api/v1/namespaces/${segment(namespace, 'namespace')}`;
    return read(
      context,
      { path, resource: 'namespaces', kind: 'Namespace', name: namespace },
      labelsAs('namespace'),
    );
  },
  // The node's name here may have a domain that its name in Kubernetes lacks, or the other way
  // round: the pod tells it.
  node: async (context) => {
    const pod = await readPod(context);
    const name = decoding(context.client.server, `get ${podPath(pod.namespace, pod.name)}`, () =>
      asText(pod.node, 'spec.nodeName'),
    );
    const path = `/api/v1/nodes/${segment(name, 'node name')}`;
    return await read(context, { path, resource: 'nodes', kind: 'Node', name }, labelsAs('node'));
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

async function readPod(context: Context): Promise<DescribedPod> {
  const { known, pod } = context;
  const found = known?.find(pod) ?? (await getPod(context));
  if (found.node !== undefined) known?.follow(found.node);
  return found;
}

function getPod(context: Context): Promise<DescribedPod> {
  const { namespace, name, uid } = context.pod;
  const path = podPath(namespace, name);
  return read(context, { path, resource: 'pods', kind: 'Pod', name }, ({ metadata, spec }) => {
    if (metadata['namespace'] !== namespace)
      throw new DecodeError('metadata.namespace', `"${namespace}"`, metadata['namespace']);
    const found = describePod(metadata, spec);
    // The runtime may still work for a pod that is gone, while another one has its name.
    if (!isOf(found, context.pod)) throw new DecodeError('metadata.uid', `"${uid}"`, metadata['uid']);
    return found;
  });
}

async function read<T>(
  { client, limit }: Context,
  { path, resource, kind, name }: Asked,
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
