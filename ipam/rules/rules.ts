import { IpamError, remedyOf } from '../model/errors.ts';
import { newMark } from '../model/mark.ts';
import { didYouMean } from '../model/nearest.ts';
import { checkRule } from '../model/new-rule.ts';
import { isEqualTo, type Rule } from '../model/rule.ts';
import type { Ipam } from '../node/ipam.ts';
import {
  decodeRulesChanged,
  encodeRule,
  encodeRulesChanged,
  nameOfRuleKey,
  ruleKey,
  RULES_CHANGED,
} from '../records/rule-record.ts';
import { asRead, del, put, same, type Entry, type Guard, type Write } from '../records/transaction.ts';
import { unreadableError } from '../records/unreadable.ts';
import { rangeIfKnown, readRanges, type RangeEntry } from '../store/ranges.ts';
import { retryLostRaces } from '../store/retry.ts';
import { readRules } from '../store/rules.ts';

/**
 * Adds the rule, unless another one has its name or is equal to it: of two rules that may be for
 * one pod, one must be more specific.
 * @throws IpamError `invalid`, `conflict`; `not-found` for a range; `contention`, `store-…`
 */
export function addRule(ipam: Pick<Ipam, 'store' | 'effects'>, rule: Rule): Promise<Rule> {
  return retryLostRaces(`adding rule '${rule.name}'`, ipam.effects, async () => {
    const change = await planRule(ipam, rule);
    const done = await ipam.store.commit(change.guards, [
      put(ruleKey(rule), encodeRule(rule)),
      change.next(newMark(ipam.effects)),
    ]);
    return done === undefined ? undefined : rule;
  });
}

/**
 * Checks that the rule can be added.
 * @returns guards that this still holds, and the write that tells everybody of a change
 * @throws IpamError `invalid`, `conflict`, `not-found`, `store-…`
 */
export async function planRule({ store }: Pick<Ipam, 'store'>, rule: Rule): Promise<RulesChange> {
  checkRule(rule);
  const { rules, unreadable, changed } = await readRules(store);
  const named = [...rules.map(ruleKey), ...unreadable.map(({ key }) => key)].find(
    (key) => nameOfRuleKey(key) === rule.name,
  );
  if (named !== undefined)
    throw new IpamError('conflict', `rule '${rule.name}' exists already: etcd key '${named}'`, {
      remedy: 'Choose another name, or remove it first: `cnictl rule remove NAME`.',
    });
  const equal = rules.find((other) => isEqualTo(other, rule));
  if (equal) {
    throw new IpamError(
      'conflict',
      `rule '${rule.name}' and rule '${equal.name}' may be for one pod, and neither is more specific`,
      { remedy: 'Give one of them a condition more, or a longer name in place of `*`.' },
    );
  }
  const ranges = await rangesOfRule(store, rule);
  const change = changeOf(changed);
  return { ...change, guards: [...change.guards, ...ranges.map(({ entry }) => same(entry))] };
}

/** @throws IpamError `not-found`; `corrupt-record` for a range whose record cannot be read */
async function rangesOfRule(store: Ipam['store'], { name, ranges }: Rule): Promise<RangeEntry[]> {
  const known = await readRanges(store);
  return ranges.map((each) => {
    const found = rangeIfKnown(known, each);
    if (found) return found;
    const names = known.ranges.map(({ range }) => range.name);
    throw new IpamError(
      'not-found',
      `rule '${name}' names range '${each}', which does not exist: there are ${names.join(', ') || 'none yet'}`,
      { remedy: `${didYouMean(each, names)}Add the range first: \`cnictl range add\`.` },
    );
  });
}

/**
 * Removes the rule, also one whose record cannot be read.
 * @param dryRun only finds it
 * @returns undefined for a record that cannot be read
 * @throws IpamError `not-found`, `contention`, `store-…`
 */
export function removeRule(
  ipam: Pick<Ipam, 'store' | 'effects'>,
  name: string,
  dryRun = false,
): Promise<{ readonly rule: Rule | undefined }> {
  return retryLostRaces(`removing rule '${name}'`, ipam.effects, async () => {
    const known = await readRules(ipam.store);
    const rule = known.rules.find((each) => each.name === name);
    const key = rule ? ruleKey(rule) : known.unreadable.find((each) => nameOfRuleKey(each.key) === name)?.key;
    if (key === undefined) throw unknownRule(name, known.rules);
    if (dryRun) return { rule };
    const change = changeOf(known.changed);
    const done = await ipam.store.commit(change.guards, [del(key), change.next(newMark(ipam.effects))]);
    return done === undefined ? undefined : { rule };
  });
}

/** @throws IpamError `not-found`; `corrupt-record` if its record cannot be read */
export async function findRule({ store }: Pick<Ipam, 'store'>, name: string): Promise<Rule> {
  const { rules, unreadable } = await readRules(store);
  const found = rules.find((rule) => rule.name === name);
  if (found) return found;
  const broken = unreadable.find(({ key }) => nameOfRuleKey(key) === name);
  throw broken ? unreadableError(broken) : unknownRule(name, rules);
}

function unknownRule(name: string, rules: readonly Rule[]): IpamError {
  const known = rules.map((rule) => rule.name).sort();
  return new IpamError(
    'not-found',
    `rule '${name}' does not exist: there are ${known.join(', ') || 'none yet'}`,
    { remedy: `${didYouMean(name, known)}${remedyOf('not-found')}` },
  );
}

/**
 * Tells all processes that rules have changed, which were written past `addRule`.
 * @throws IpamError `contention`, `store-…`
 */
export async function rulesChanged(ipam: Pick<Ipam, 'store' | 'effects'>): Promise<void> {
  await retryLostRaces('telling of changed rules', ipam.effects, async () => {
    const [changed] = await ipam.store.get([RULES_CHANGED]);
    const change = changeOf(changed);
    return await ipam.store.commit(change.guards, [change.next(newMark(ipam.effects))]);
  });
}

export interface RulesChange {
  readonly guards: readonly Guard[];
  readonly next: (mark: string) => Write;
}

/** Every change of a rule compares the key that changes with them, and replaces it. */
function changeOf(changed: Entry | undefined): RulesChange {
  const count = changed ? decodeRulesChanged(changed.key, changed.value) : 0;
  return {
    guards: [asRead(RULES_CHANGED, changed)],
    next: (mark) => put(RULES_CHANGED, encodeRulesChanged(count + 1, mark)),
  };
}
