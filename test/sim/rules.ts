import { chooseRule, type Rule } from '../../ipam/model/rule.ts';
import { decodeRule, RULES, RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import type { Scene } from './acts.ts';
import type { ChangedAllocation } from './changes.ts';
import type { Keys } from './etcd-keys.ts';
import type { Violation } from './invariants.ts';
import type { Random } from './random.ts';
import type { Setup } from './setup.ts';

/** The rules of stories with rules, by name: options of `cnictl rule add`. */
const RULES_OF_STORIES: Readonly<Record<string, string>> = {
  all: '--namespace shop --range red',
  some: '--namespace sh* --pod p*1 --range blue',
  few: '--namespace shop --pod p2* --range blue --range red',
};
export const RULE_NAMES = Object.keys(RULES_OF_STORIES);

/** Whether rules come and go in a story: it needs a second range. */
export const mayHaveRules = ({ ranges, families }: Pick<Setup, 'ranges' | 'families'>): boolean =>
  families.length === 1 && ranges.some(({ name }) => name === 'red');

/** Returns what the operator does with rules while pods come, in a story with rules. */
export function ruleScenes(random: Random, { rules }: Setup, scenes: readonly Scene[]): Scene[] {
  if (!rules) return [];
  const endsAt = scenes.at(-1)?.at ?? 0;
  return Array.from({ length: 3 + random.below(8) }, (_, i): Scene => {
    const name = random.pick(RULE_NAMES);
    const adds = random.chance(0.6);
    const argv = adds
      ? `rule add ${name} ${RULES_OF_STORIES[name] ?? ''}`
      : `rule remove ${name} --ignore-not-found`;
    const at = Math.round(random.between(0, endsAt));
    return { id: scenes.length + 1 + i, at, act: { do: 'cnictl', argv } };
  });
}

/** Returns all rules of that moment. */
export const rulesAt = (keys: Keys): Rule[] =>
  keys
    .below(RULES)
    .filter(({ key }) => key !== RULES_CHANGED)
    .map(({ key, value }) => decodeRule(key, value));

/** Returns the address that was given against the rules of that moment. */
export function againstRule(before: Keys, given: readonly ChangedAllocation[]): Violation | undefined {
  if (given.length === 0 || !before.has(RULES_CHANGED)) return undefined;
  const rules = rulesAt(before);
  for (const { address, block, slot } of given) {
    const { containerId, podNamespace: namespace = '', podName: name = '' } = slot.owner;
    const choice = chooseRule(rules, { namespace, name }, {});
    if (!('rule' in choice) || !choice.rule || choice.rule.ranges.length === 0) continue;
    if (choice.rule.ranges.includes(block.range)) continue;
    return {
      kind: 'against-rule',
      text: `${address} of range ${block.range} was given to ${containerId}, against rule ${choice.rule.name}`,
      about: [address, containerId],
    };
  }
  return undefined;
}
