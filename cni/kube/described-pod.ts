/** What rules may ask of a pod, as the API server tells it. */
import { ANNOTATION_PREFIX } from '../../ipam/model/annotations.ts';
import type { Facts, Labels, PodIdentity } from '../../ipam/model/rule.ts';
import { asArray, asObject, asOptionalText, asText, DecodeError, type Json } from './decode.ts';

/** The pod that a rule asks about. */
export interface AskedPod extends PodIdentity {
  /** Absent where the runtime does not tell it. */
  readonly uid: string | undefined;
}

export interface DescribedPod extends PodIdentity {
  readonly uid: string;
  /** Of a static pod, its kubelet's hash: the runtime calls that the UID. */
  readonly mirrorOf: string | undefined;
  /** Absent while it is not scheduled. */
  readonly node: string | undefined;
  readonly facts: NonNullable<Facts['pod']>;
}

/** @throws DecodeError */
export function describePod(metadata: Json, spec: Json): DescribedPod {
  const annotations = textsOf(metadata, 'annotations');
  return {
    namespace: asText(metadata['namespace'], 'metadata.namespace'),
    name: asText(metadata['name'], 'metadata.name'),
    uid: asText(metadata['uid'], 'metadata.uid'),
    mirrorOf: annotations['kubernetes.io/config.mirror'],
    node: asOptionalText(spec['nodeName'], 'spec.nodeName'),
    facts: {
      labels: labelsOf(metadata),
      ownerKind: ownerKindOf(metadata),
      annotations: Object.fromEntries(
        Object.entries(annotations).filter(([key]) => key.startsWith(ANNOTATION_PREFIX)),
      ),
    },
  };
}

/** Whether it is the very pod: another one may have, or have had, its name. */
export const isOf = (found: DescribedPod, { namespace, name, uid }: AskedPod): boolean =>
  found.namespace === namespace &&
  found.name === name &&
  (uid === undefined || uid === found.uid || uid === found.mirrorOf);

/** @throws DecodeError */
export const labelsOf = (metadata: Json): Labels => textsOf(metadata, 'labels');

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
