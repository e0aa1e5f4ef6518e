import type { AllowedAnnotations } from './annotations.ts';
import type { KeepTerms } from './keep.ts';
import { isPattern, literalLength, matchesPattern, patternsOverlap } from './pattern.ts';
import type { UnknownFields } from './unknown-fields.ts';

/** Labels of Kubernetes objects. In a condition: the object must have all of them. */
export type Labels = Readonly<Record<string, string>>;

/** Which pods a rule is for. */
export interface RuleConditions {
  /** A name, or a pattern; `*` for every namespace. */
  readonly namespace: string;
  /** The pod's name, or a pattern; `*` for every pod. */
  readonly pod: string;
  readonly podLabels: Labels;
  /** Kind of the pod's controller, such as `StatefulSet`. Absent: any, or none. */
  readonly ownerKind?: string;
  readonly namespaceLabels: Labels;
  readonly nodeLabels: Labels;
}

/** Says of some pods where their addresses come from. */
export interface Rule extends RuleConditions {
  readonly name: string;
  /** Names of the ranges of these pods. Empty where it says something else: all of the network. */
  readonly ranges: readonly string[];
  /** Whether the other ranges serve when these have no address left. */
  readonly fallback: boolean;
  /** Present if the addresses are kept for pods that are made again. */
  readonly keep?: KeepTerms;
  /** The addresses come from blocks that only pods of this rule use, from any node. */
  readonly ownBlocks?: true;
  /** Present if annotations of the pods count; absent: they are ignored. */
  readonly annotations?: AllowedAnnotations;
  /** Milliseconds since 1970. */
  readonly addedAt: number;
  readonly unknownFields?: UnknownFields;
}

/** A pod, as the runtime names it. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
}

/** An object of Kubernetes that conditions ask about. */
export type FactSource = 'pod' | 'namespace' | 'node';

/** What Kubernetes tells of a pod, as far as it was asked. */
export interface Facts {
  readonly pod?: {
    readonly labels: Labels;
    readonly ownerKind: string | undefined;
    /** Those that are cellnet's. */
    readonly annotations: Labels;
  };
  readonly namespace?: { readonly labels: Labels };
  readonly node?: { readonly labels: Labels };
}

/** What must be asked of Kubernetes first. */
export interface Asks {
  readonly asks: readonly FactSource[];
}

/** The rule of a pod, or what must be asked first to tell it. */
export type RuleChoice = { readonly rule: Rule | undefined } | Asks;

/**
 * Returns the rule of a pod: the most specific one of those that are for it. Names decide first, so
 * that Kubernetes is asked only where a rule needs it.
 */
export function chooseRule(rules: readonly Rule[], pod: PodIdentity, facts: Facts): RuleChoice {
  const inTurn = rules.filter((rule) => isNamed(rule, pod)).sort(bySpecificity);
  for (const [i, rule] of inTurn.entries()) {
    if (asksOf(rule).some((source) => facts[source] === undefined)) {
      // All that a later rule may need, too: one question takes less time than three in a row.
      const asks = new Set(inTurn.slice(i).flatMap(asksOf));
      return { asks: [...asks].filter((source) => facts[source] === undefined) };
    }
    if (isFor(rule, facts)) return { rule };
  }
  return { rule: undefined };
}

/** Whether the rule's names are those of the pod. */
export const isNamed = (rule: RuleConditions, pod: PodIdentity): boolean =>
  matchesPattern(rule.namespace, pod.namespace) && matchesPattern(rule.pod, pod.name);

/** Returns the objects of Kubernetes that the rule's conditions ask about. */
export const asksOf = (rule: RuleConditions): FactSource[] => [
  ...(rule.ownerKind !== undefined || !isEmpty(rule.podLabels) ? (['pod'] as const) : []),
  ...(isEmpty(rule.namespaceLabels) ? [] : (['namespace'] as const)),
  ...(isEmpty(rule.nodeLabels) ? [] : (['node'] as const)),
];

const isFor = (rule: RuleConditions, { pod, namespace, node }: Facts): boolean =>
  hasLabels(pod?.labels, rule.podLabels) &&
  (rule.ownerKind === undefined || rule.ownerKind === pod?.ownerKind) &&
  hasLabels(namespace?.labels, rule.namespaceLabels) &&
  hasLabels(node?.labels, rule.nodeLabels);

const isEmpty = (labels: Labels): boolean => Object.keys(labels).length === 0;

const hasLabels = (labels: Labels = {}, wanted: Labels): boolean =>
  Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);

/**
 * How specific a rule is, the weightiest first: the namespace (a name before a pattern, a longer
 * pattern before a shorter one), the pod's name likewise, the number of its other conditions.
 */
const specificity = (rule: RuleConditions): number[] => [
  ...ofPattern(rule.namespace),
  ...ofPattern(rule.pod),
  [rule.podLabels, rule.namespaceLabels, rule.nodeLabels].reduce(
    (sum, labels) => sum + Object.keys(labels).length,
    rule.ownerKind === undefined ? 0 : 1,
  ),
];

const ofPattern = (pattern: string): [number, number] => [isPattern(pattern) ? 0 : 1, literalLength(pattern)];

/** The more specific one first. */
export function bySpecificity(a: RuleConditions, b: RuleConditions): number {
  const [one, other] = [specificity(a), specificity(b)];
  const differs = one.findIndex((each, i) => each !== other[i]);
  return differs < 0 ? 0 : (other[differs] ?? 0) - (one[differs] ?? 0);
}

/** Whether both rules may be for one pod, and neither is more specific. */
export const isEqualTo = (a: RuleConditions, b: RuleConditions): boolean =>
  bySpecificity(a, b) === 0 &&
  patternsOverlap(a.namespace, b.namespace) &&
  patternsOverlap(a.pod, b.pod) &&
  (a.ownerKind === undefined || b.ownerKind === undefined || a.ownerKind === b.ownerKind) &&
  agree(a.podLabels, b.podLabels) &&
  agree(a.namespaceLabels, b.namespaceLabels) &&
  agree(a.nodeLabels, b.nodeLabels);

/** Whether one object may have all of both labels. */
const agree = (a: Labels, b: Labels): boolean =>
  Object.entries(a).every(([key, value]) => !Object.hasOwn(b, key) || b[key] === value);
