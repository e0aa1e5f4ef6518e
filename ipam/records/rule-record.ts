/**
 * Rules and their keys. A pod's ADD reads the rules of its own namespace and those of patterns, so
 * these lie apart from each other (docs/etcd-records.md).
 */
import * as v from 'valibot';
import { ANNOTATION_KINDS, type AllowedAnnotations } from '../model/annotations.ts';
import { checkRule } from '../model/new-rule.ts';
import type { KeepTerms } from '../model/keep.ts';
import { isPattern } from '../model/pattern.ts';
import type { Rule } from '../model/rule.ts';
import {
  checkKey,
  count,
  decode,
  guarded,
  isoTime,
  schemaVersion,
  SCHEMA_VERSION,
  text,
  time,
  unknownFieldsOf,
} from './codec.ts';

export const RULES = 'rules/';
/** Changes with each change of a rule: what compares it has seen all rules. */
export const RULES_CHANGED = `${RULES}changed`;
/** Rules for namespaces that a pattern describes. */
export const PATTERN_RULES = `${RULES}any/`;
/** Rules for one namespace. */
export const rulesOfNamespace = (namespace: string): string => `${RULES}in/${namespace}/`;

export const ruleKey = ({ name, namespace }: Pick<Rule, 'name' | 'namespace'>): string =>
  isPattern(namespace) ? `${PATTERN_RULES}${namespace}/${name}` : `${rulesOfNamespace(namespace)}${name}`;

/** Returns the namespace or pattern that a rule's key names, whatever its value. */
export const namespaceOfRuleKey = (key: string): string => key.split('/')[2] ?? '';
/** Returns the rule's name that its key names, whatever its value. */
export const nameOfRuleKey = (key: string): string => key.split('/')[3] ?? '';

/** Not `v.record`, which drops keys such as `constructor`: they are labels like any other. */
const labels = v.custom<Readonly<Record<string, string>>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((each) => typeof each === 'string'),
  'an object of texts',
);
/**
 * A rule that keeps addresses has this version: an older program would give its pods any. It
 * refuses the record instead.
 */
const KEEPING_VERSION = 2;
/**
 * A rule that allows annotations, or whose pods have blocks of their own, has this version: an
 * older program would give its pods other addresses.
 */
const NEWEST_VERSION = 3;
export const NEWEST_RULE_VERSION = NEWEST_VERSION;

const ruleRecord = v.looseObject({
  v: v.picklist([SCHEMA_VERSION, KEEPING_VERSION, NEWEST_VERSION]),
  name: text,
  namespace: text,
  pod: text,
  podLabels: v.optional(labels, {}),
  ownerKind: v.optional(text),
  namespaceLabels: v.optional(labels, {}),
  nodeLabels: v.optional(labels, {}),
  ranges: v.array(text),
  fallback: v.boolean(),
  keep: v.optional(v.object({ forMs: v.optional(count), anyPod: v.optional(v.literal(true)) })),
  ownBlocks: v.optional(v.literal(true)),
  annotations: v.optional(
    v.object({ kinds: v.array(v.picklist(ANNOTATION_KINDS)), keepAtMostMs: v.optional(count) }),
  ),
  addedAt: time,
});

/** Version of the record of this rule. */
export function ruleVersion({ keep, annotations, ownBlocks }: Rule): 1 | 2 | 3 {
  if (annotations || ownBlocks) return NEWEST_VERSION;
  return keep ? KEEPING_VERSION : SCHEMA_VERSION;
}

export function encodeRule(rule: Rule): string {
  const { name, namespace, pod, podLabels, ownerKind, namespaceLabels, nodeLabels } = rule;
  const record: v.InferInput<typeof ruleRecord> = {
    ...{ v: ruleVersion(rule), name, namespace, pod, podLabels },
    ...(ownerKind !== undefined && { ownerKind }),
    ...{ namespaceLabels, nodeLabels },
    ranges: [...rule.ranges],
    fallback: rule.fallback,
    ...(rule.keep && { keep: rule.keep }),
    ...(rule.ownBlocks && { ownBlocks: true as const }),
    ...(rule.annotations && { annotations: { ...rule.annotations, kinds: [...rule.annotations.kinds] } }),
    addedAt: isoTime(rule.addedAt),
  };
  return JSON.stringify({ ...record, ...rule.unknownFields });
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeRule(key: string, value: string): Rule {
  const decoded = decode(ruleRecord, key, value, NEWEST_VERSION);
  const { v: _, ownerKind, keep, annotations, ownBlocks, ...record } = decoded;
  const { name, namespace, pod, podLabels, namespaceLabels, nodeLabels, ranges, fallback, addedAt, ...rest } =
    record;
  const rule: Rule = {
    ...{ name, namespace, pod, podLabels, namespaceLabels, nodeLabels, ranges, fallback, addedAt },
    ...(ownerKind !== undefined && { ownerKind }),
    ...(keep && { keep: keepTerms(keep) }),
    ...(ownBlocks && { ownBlocks }),
    ...(annotations && { annotations: allowed(annotations) }),
    ...unknownFieldsOf(rest),
  };
  checkKey(key, ruleKey(rule));
  guarded(key, () => checkRule(rule));
  return rule;
}

const keepTerms = ({ forMs, anyPod }: NonNullable<v.InferOutput<typeof ruleRecord>['keep']>): KeepTerms => ({
  ...(forMs !== undefined && { forMs }),
  ...(anyPod && { anyPod }),
});

const allowed = ({
  kinds,
  keepAtMostMs,
}: NonNullable<v.InferOutput<typeof ruleRecord>['annotations']>): AllowedAnnotations => ({
  kinds,
  ...(keepAtMostMs !== undefined && { keepAtMostMs }),
});

const changedRecord = v.looseObject({ v: schemaVersion, count });

/** @param count number of changes so far @param mark random, so that no two values are the same */
export const encodeRulesChanged = (count: number, mark: string): string =>
  JSON.stringify({ v: SCHEMA_VERSION, count, mark });

/** @returns the number of changes so far @throws IpamError `corrupt-record` */
export const decodeRulesChanged = (key: string, value: string): number =>
  decode(changedRecord, key, value).count;
