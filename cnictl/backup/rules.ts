import { isEqualTo, type Rule } from '../../ipam/model/rule.ts';
import { decodeRule, RULES, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import { readRecord, valuesOf } from '../../ipam/records/unreadable.ts';
import type { Collision } from './collision.ts';
import type { BackupRecord } from './format.ts';

/** Whether the key is a rule's. The one that changes with rules is in no backup. */
export const isRule = (key: string): boolean => key.startsWith(RULES) && key !== RULES_CHANGED;

/** Returns the rules among the records, without those that cannot be read. */
export const rulesIn = (entries: Iterable<BackupRecord>): Rule[] =>
  valuesOf([...entries].filter(({ key }) => isRule(key)).map((entry) => readRecord(entry, decodeRule)));

/**
 * Judges a rule of a backup beside those that exist, as `rule add` does: another one of its name,
 * or one that is neither more nor less specific.
 */
export function ruleCollision(record: BackupRecord, present: readonly Rule[]): Collision | undefined {
  const { key } = record;
  const saved = readRecord(record, decodeRule);
  if ('unreadable' in saved) return { key, reason: 'unsound', detail: saved.unreadable.reason };
  const { value: rule } = saved;
  const named = present.find(({ name }) => name === rule.name);
  if (named) return { key, reason: 'differs', detail: `another rule has the name ${rule.name}` };
  const equal = present.find((each) => isEqualTo(each, rule));
  if (!equal) return undefined;
  return {
    key,
    reason: 'differs',
    detail: `rule ${equal.name} may be for the same pod, and none is more specific`,
  };
}
