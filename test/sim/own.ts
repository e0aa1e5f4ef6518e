import { ruleOf } from '../../ipam/model/holder.ts';
import { chooseRule } from '../../ipam/model/rule.ts';
import { blockKey } from '../../ipam/records/keys.ts';
import { RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import type { Scene } from './acts.ts';
import type { BlockReader, ChangedAllocation } from './changes.ts';
import type { Commit } from './etcd.ts';
import type { Violation } from './invariants.ts';
import type { Random } from './random.ts';
import { rulesAt } from './rules.ts';
import type { Setup } from './setup.ts';

/** What the rule of a story says, beside its pods. */
const TERMS = ['', '', '--keep forever', '--keep 20s'];

/** Returns how a rule whose pods have blocks of their own comes and goes in a story with some. */
export function ownScenes(random: Random, { owns }: Setup, scenes: readonly Scene[]): Scene[] {
  if (!owns) return [];
  const endsAt = Math.max(20_000, scenes.at(-1)?.at ?? 0);
  const first = Math.max(0, ...scenes.map(({ id }) => id)) + 1;
  const made: Scene[] = [];
  const put = (at: number, argv: string): void =>
    void made.push({ id: first + made.length, at: Math.round(at), act: { do: 'cnictl', argv } });
  const add = `rule add own --namespace shop --pod ${random.pick(['p*', 'p*1', 'p*'])} --own-blocks ${random.pick(TERMS)}`;
  put(random.chance(0.7) ? 0 : random.between(0, endsAt), add.trim());
  if (random.chance(0.4)) {
    const at = random.between(0, endsAt);
    put(at, 'rule remove own --ignore-not-found');
    if (random.chance(0.7)) put(random.between(at, endsAt), add.trim());
  }
  if (random.chance(0.3)) put(random.between(0, endsAt), 'block return --idle 0s --yes');
  return made;
}

/**
 * Returns an address of a rule's own block that was given to a pod of no such rule, or one of
 * another block to a pod of the rule.
 */
export function againstOwner({ before }: Commit, given: readonly ChangedAllocation[]): Violation | undefined {
  if (given.length === 0 || !before.has(RULES_CHANGED)) return undefined;
  const rules = rulesAt(before);
  for (const { address, block, slot } of given) {
    const { containerId, podNamespace: namespace = '', podName: name = '' } = slot.owner;
    const choice = chooseRule(rules, { namespace, name }, {});
    const owning = 'rule' in choice && choice.rule?.ownBlocks ? choice.rule.name : undefined;
    const holder = ruleOf(block);
    if (holder === owning) continue;
    return {
      kind: 'against-owner',
      text: `${address} of a block of ${block.node} was given to ${containerId}, a pod of ${owning ?? 'no rule'}`,
      about: [address, containerId],
    };
  }
  return undefined;
}

/** What was given out of own blocks of rules. */
export class OwnedAddresses {
  /** The rule's name, by address and container. */
  readonly #rules = new Map<string, string>();

  /**
   * Returns an address of a rule's own block that came back, when etcd had forgotten it, in a block
   * that a node has taken for itself.
   */
  lost({ before }: Commit, given: readonly ChangedAllocation[], reader: BlockReader): Violation | undefined {
    for (const { address, block, slot } of given) {
      const id = `${address} ${slot.owner.containerId}`;
      const rule = ruleOf(block);
      const known = this.#rules.get(id);
      if (rule !== undefined) this.#rules.set(id, rule);
      if (rule !== undefined || known === undefined) continue;
      const was = reader.read(before, blockKey(block.range, block.cidr));
      if (was && ruleOf(was) === undefined) continue;
      return {
        kind: 'against-owner',
        text: `${address} was of a block of rule ${known} alone, and ${block.node} has taken the block`,
        about: [address, slot.owner.containerId],
      };
    }
    return undefined;
  }
}
