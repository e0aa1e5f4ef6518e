/** What the audit knows of a StatefulSet (apps/v1), decoded from the API server. */
export interface AuditedStatefulSet {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** `spec.replicas`: how many pods it makes. */
  readonly replicas: number;
  /** `spec.ordinals.start`: the number of the first of them. */
  readonly start: number;
  /** Whether somebody has deleted it, and it is not gone yet. */
  readonly isEnding: boolean;
}

/** The name of a StatefulSet's pod, in its parts. */
export interface OrdinalName {
  readonly set: string;
  readonly ordinal: number;
}

/** Why no pod of a name can come, as far as StatefulSets make it. */
export type Unmade =
  /** The StatefulSet has fewer replicas by now. */
  | { readonly reason: 'scaled-down'; readonly set: AuditedStatefulSet }
  /** There is no StatefulSet of that name. It, or what else made the pod, may come back. */
  | { readonly reason: 'orphaned'; readonly setName: string };

/** StatefulSets by namespace and name. */
export class StatefulSets {
  readonly #byName: ReadonlyMap<string, AuditedStatefulSet>;

  constructor(sets: Iterable<AuditedStatefulSet>) {
    this.#byName = new Map([...sets].map((set) => [`${set.namespace}/${set.name}`, set]));
  }

  find(namespace: string, name: string): AuditedStatefulSet | undefined {
    return this.#byName.get(`${namespace}/${name}`);
  }
}

/**
 * Parts a pod's name as the StatefulSet controller writes it: the set, a dash and the pod's number
 * without leading zeros. A set's name may end in a number itself: `pg-1-0` is of `pg-1`.
 * @returns undefined for a name that no StatefulSet gives
 */
export function ordinalName(pod: string): OrdinalName | undefined {
  const [, set, digits] = /^(.+)-(0|[1-9]\d{0,8})$/.exec(pod) ?? [];
  return set === undefined ? undefined : { set, ordinal: Number(digits) };
}

/**
 * Returns why no StatefulSet makes the pod any more; undefined: one does, or nothing tells. Missing
 * data means that the pod may come (rule 6): a set without replicas is at rest, as for maintenance,
 * and one that ends may be about to be made again.
 */
export function unmadeBy(
  sets: StatefulSets,
  pod: { readonly namespace: string; readonly name: string },
): Unmade | undefined {
  const parts = ordinalName(pod.name);
  if (!parts) return undefined;
  const set = sets.find(pod.namespace, parts.set);
  if (!set) return { reason: 'orphaned', setName: parts.set };
  const { replicas, start, isEnding } = set;
  if (isEnding || replicas === 0) return undefined;
  const isMade = parts.ordinal >= start && parts.ordinal < start + replicas;
  return isMade ? undefined : { reason: 'scaled-down', set };
}
