import { matchesPattern } from '../model/pattern.ts';
import type { Rule } from '../model/rule.ts';
import {
  decodeRule,
  nameOfRuleKey,
  namespaceOfRuleKey,
  PATTERN_RULES,
  RULES,
  RULES_CHANGED,
  rulesOfNamespace,
} from '../records/rule-record.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord, unreadableOf, valuesOf, type UnreadableRecord } from '../records/unreadable.ts';
import { scanAll, type Store } from './store.ts';

export interface RuleRecords {
  readonly rules: readonly Rule[];
  /** Each may be for any pod of the namespaces that its key names. */
  readonly unreadable: readonly UnreadableRecord[];
}

const NO_RULES: RuleRecords = { rules: [], unreadable: [] };
/** Namespaces whose rules are kept: more than the pods of a node have. */
const MOST_NAMESPACES = 1_000;

/**
 * The rules of namespaces, as this process has read them. They hold as long as etcd's key
 * `rules/changed` is as it was before they were read: what relies on them compares it in its
 * transaction.
 */
export class RuleBook {
  #changed: string | undefined;
  readonly #known = new Map<string, RuleRecords>();

  /**
   * Returns the rules that may be for pods of the namespace. A cluster without rules is asked
   * nothing.
   * @param changed `rules/changed` as it was read; undefined: there are no rules
   * @throws IpamError `store-…`
   */
  async of(store: Store, namespace: string, changed: Entry | undefined): Promise<RuleRecords> {
    if (!changed) return NO_RULES;
    if (changed.value !== this.#changed || this.#known.size >= MOST_NAMESPACES) this.#known.clear();
    this.#changed = changed.value;
    const known = this.#known.get(namespace);
    if (known) return known;
    const [own, patterns] = await Promise.all([
      scanAll(store, rulesOfNamespace(namespace)),
      scanAll(store, PATTERN_RULES),
    ]);
    const isAbout = ({ key }: Entry): boolean => matchesPattern(namespaceOfRuleKey(key), namespace);
    const found = rulesIn([...own, ...patterns.filter(isAbout)]);
    // Another call may have seen a later change meanwhile. A record that is mended by hand changes
    // nothing else.
    if (this.#changed === changed.value && found.unreadable.length === 0) this.#known.set(namespace, found);
    return found;
  }
}

/** Whether the rule has blocks of its own. One that cannot be read may have some. */
export const mayOwnBlocks = ({ rules, unreadable }: RuleRecords, name: string): boolean =>
  rules.some((rule) => rule.name === name && rule.ownBlocks) ||
  unreadable.some(({ key }) => nameOfRuleKey(key) === name);

/** Reads all rules, and the key that changes with them. @throws IpamError `store-…` */
export async function readRules(
  store: Store,
): Promise<RuleRecords & { readonly changed: Entry | undefined }> {
  const entries = await scanAll(store, RULES);
  const changed = entries.find(({ key }) => key === RULES_CHANGED);
  return { ...rulesIn(entries.filter((entry) => entry !== changed)), changed };
}

function rulesIn(entries: readonly Entry[]): RuleRecords {
  const reads = entries.map((entry) => readRecord(entry, decodeRule));
  return { rules: valuesOf(reads), unreadable: unreadableOf(reads) };
}
