import type { ListOptions, StatefulSet } from './api.ts';
import type { Client } from './client.ts';
import { asObject, asText, interner, type Intern } from './decode.ts';
import { optionalObject, wholeNumber } from './fields.ts';
import type { Limit } from './limit.ts';
import { listAll, type Listing } from './list.ts';

const HIGHEST_INT32 = 2_147_483_647;

const GRANT =
  'Grant it: `kubectl create clusterrole cellnet-check-sets --verb=list --resource=statefulsets.apps`, and bind it to this user with `kubectl create clusterrolebinding`.';

/**
 * Decodes the fields of one StatefulSet (apps/v1) that tell which pods it makes. `spec.replicas` is
 * required: the API server writes its default, and one of ours could end what is kept.
 * @throws DecodeError
 */
export function decodeStatefulSet(value: unknown, intern: Intern): StatefulSet {
  const set = asObject(value, 'statefulset');
  const metadata = asObject(set['metadata'], 'metadata');
  const spec = asObject(set['spec'], 'spec');
  const ordinals = optionalObject(spec['ordinals'], 'spec.ordinals');
  const deleted = metadata['deletionTimestamp'];
  return {
    namespace: intern(asText(metadata['namespace'], 'metadata.namespace')),
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    replicas: wholeNumber(spec['replicas'], 'spec.replicas', 0, HIGHEST_INT32),
    start: wholeNumber(ordinals['start'] ?? 0, 'spec.ordinals.start', 0, HIGHEST_INT32),
    isEnding: deleted !== undefined && deleted !== null,
  };
}

/** Lists every StatefulSet of the cluster. @throws KubeError */
export async function listStatefulSets(
  client: Client,
  { onProgress }: ListOptions,
  limit: Limit,
): Promise<readonly StatefulSet[]> {
  const intern = interner();
  const listing: Listing<StatefulSet> = {
    path: '/apis/apps/v1/statefulsets',
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    resource: 'statefulsets',
    scope: { grant: GRANT },
    decode: (item) => decodeStatefulSet(item, intern),
    identify: (set) => set,
  };
  return (await listAll(client, listing, limit, onProgress)).items;
}
