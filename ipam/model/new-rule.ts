import { ANNOTATION_KINDS } from './annotations.ts';
import { formatDuration } from './duration.ts';
import { invalid } from './errors.ts';
import { isKeepTime, KEEP_FORM } from './keep.ts';
import { isObjectName, OBJECT_NAME_FORM } from './object-name.ts';
import type { Labels, Rule } from './rule.ts';

/** Names of namespaces are labels of DNS, those of pods may have dots (RFC 1123). */
const NAMESPACE = /^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$/;
const POD = /^[a-z0-9*]([-a-z0-9.*]{0,251}[a-z0-9*])?$/;
const KIND = /^[A-Z][A-Za-z0-9]{0,62}$/;
/** Keys and values of labels, as Kubernetes has them. */
const LABEL_PREFIX = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** Longest record of a rule stays far below what etcd takes. */
const MOST_RANGES = 100;
const MOST_LABELS = 20;

/** @throws IpamError `invalid`, naming the value and what would be right */
export function checkRule(rule: Rule): void {
  const check = (holds: boolean, what: string, expected: string): void => {
    if (!holds) throw invalid(`${what}: expected ${expected}`);
  };
  check(isObjectName(rule.name), `rule name '${rule.name}'`, OBJECT_NAME_FORM);
  check(
    NAMESPACE.test(rule.namespace),
    `namespace '${rule.namespace}'`,
    `the name of a namespace, '*' in it for any characters`,
  );
  check(POD.test(rule.pod), `pod '${rule.pod}'`, `the name of a pod, '*' in it for any characters`);
  check(
    rule.ownerKind === undefined || KIND.test(rule.ownerKind),
    `owner kind '${rule.ownerKind}'`,
    `a kind such as StatefulSet`,
  );
  for (const labels of [rule.podLabels, rule.namespaceLabels, rule.nodeLabels]) checkLabels(labels);
  const saysMore = rule.keep ?? rule.annotations ?? rule.ownBlocks;
  check(rule.ranges.length > 0 || saysMore !== undefined, 'ranges', 'at least one name of a range');
  check(rule.ranges.length > 0 || !rule.fallback, 'fallback', 'names of ranges, before which it comes');
  const { forMs } = rule.keep ?? {};
  check(forMs === undefined || isKeepTime(forMs), `keep ${forMs} ms`, KEEP_FORM);
  checkAnnotations(rule);
  check(rule.ranges.length <= MOST_RANGES, `${rule.ranges.length} ranges`, `at most ${MOST_RANGES}`);
  const twice = rule.ranges.find((name, i) => rule.ranges.indexOf(name) !== i);
  check(twice === undefined, `range '${twice}'`, 'each range once');
  for (const name of rule.ranges) check(isObjectName(name), `range name '${name}'`, OBJECT_NAME_FORM);
}

function checkAnnotations({ annotations, keep }: Rule): void {
  if (!annotations) return;
  const { kinds, keepAtMostMs: most } = annotations;
  const isRight = kinds.length > 0 && new Set(kinds).size === kinds.length;
  if (!isRight)
    throw invalid(`allowed annotations '${kinds.join()}': expected some of ${ANNOTATION_KINDS.join()}`);
  if (most === undefined) return;
  const what = `most to keep ${formatDuration(most)}`;
  if (!isKeepTime(most)) throw invalid(`${what}: expected a time from 1s to 3650d`);
  if (!kinds.includes('keep')) throw invalid(`${what}: expected with allowed annotation keep`);
  if (keep && (keep.forMs === undefined || keep.forMs > most))
    throw invalid(`${what}: expected at least the rule's own time, with which addresses are kept`);
}

function checkLabels(labels: Labels): void {
  const entries = Object.entries(labels);
  if (entries.length > MOST_LABELS)
    throw invalid(`${entries.length} labels: expected at most ${MOST_LABELS}`);
  for (const [key, value] of entries) {
    const [name = '', prefix, ...more] = key.split('/').reverse();
    const isKey =
      more.length === 0 && (prefix === undefined || LABEL_PREFIX.test(prefix)) && LABEL_NAME.test(name);
    if (!isKey) throw invalid(`label key '${key}': expected the form app or example.org/app`);
    if (value !== '' && !LABEL_NAME.test(value)) {
      throw invalid(
        `label value '${value}' of ${key}: expected at most 63 letters, digits, '-', '_' and '.'`,
      );
    }
  }
}
