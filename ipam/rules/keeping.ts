import { formatAddress, type Address } from '../model/address.ts';
import { readAnnotations } from '../model/annotations.ts';
import type { Owner } from '../model/attachment.ts';
import { slotAddress, type Block, type KeptSlot, type UsedSlot } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { podInterfaceOf, type Keep } from '../model/keep.ts';
import { IpamError } from '../model/errors.ts';
import { endKept, setKeep } from '../model/kept-slot.ts';
import { matchesPattern } from '../model/pattern.ts';
import {
  chooseRule,
  isNamed,
  type Facts,
  type FactSource,
  type PodIdentity,
  type Rule,
} from '../model/rule.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { keptIn, keptWrites } from '../records/kept-record.ts';
import { BLOCKS } from '../records/keys.ts';
import { nameOfRuleKey, namespaceOfRuleKey, RULES_CHANGED } from '../records/rule-record.ts';
import { absent, asRead, same, type Entry } from '../records/transaction.ts';
import { readRecord, type UnreadableRecord } from '../records/unreadable.ts';
import { retryLostRaces } from '../store/retry.ts';
import { readRules, type RuleRecords } from '../store/rules.ts';
import { readAgain } from '../store/store.ts';

type Asked = PodIdentity & Pick<Owner, 'podUid'>;

/** Asks Kubernetes about a pod; undefined where it does not tell. */
export type AskOfPod = (pod: Asked, sources: readonly FactSource[]) => Promise<Facts | undefined>;

/** What a change of a rule did to addresses. */
export interface Settled {
  /** Addresses that pods have, and that are kept from now on. */
  readonly kept: number;
  /** Addresses that were kept for pods that are gone, and are free now after their rest. */
  readonly ended: number;
  /** Addresses of pods for which a rule asks, and nobody told. */
  readonly untold: number;
  readonly unreadable: readonly UnreadableRecord[];
}

/** The rule that was added or removed. */
export interface Subject {
  readonly name: string;
  /** Absent when the rule is gone. */
  readonly rule?: Rule;
}

/**
 * Makes what is kept agree with the rules of now, after one of them was added or removed: for the
 * addresses that it keeps, and those of pods that it may be for. It changes block by block. When it
 * was interrupted it may be run again, and does the rest.
 * @throws IpamError `contention`, `store-…`
 */
export async function settleKept(ipam: Ipam, subject: Subject, ask: AskOfPod): Promise<Settled> {
  const settling = new Settling(ipam, subject, ask);
  const unreadable: UnreadableRecord[] = [];
  await readAgain(async () => {
    unreadable.length = 0;
    for await (const page of ipam.store.scan(BLOCKS))
      for (const entry of page) {
        const read = readRecord(entry, decodeBlock);
        if ('unreadable' in read) unreadable.push(read.unreadable);
        else if (settling.concerns(read.value)) await settling.settle(entry);
      }
  });
  return { ...settling.counts, unreadable };
}

type Rules = RuleRecords & { readonly changed: Entry | undefined };

class Settling {
  readonly #ipam: Ipam;
  readonly #subject: Subject;
  readonly #ask: AskOfPod;
  readonly #facts = new Map<string, Facts>();
  readonly #untold = new Set<string>();
  #kept = 0;
  #ended = 0;
  #rules: Rules | undefined;

  constructor(ipam: Ipam, subject: Subject, ask: AskOfPod) {
    this.#ipam = ipam;
    this.#subject = subject;
    this.#ask = ask;
  }

  get counts(): Omit<Settled, 'unreadable'> {
    return { kept: this.#kept, ended: this.#ended, untold: this.#untold.size };
  }

  concerns(block: Block): boolean {
    return block.slots.some((slot) => {
      if (slot.state !== 'used' && slot.state !== 'kept') return false;
      const pod = podOf(slot);
      const { name, rule } = this.#subject;
      return slot.keep?.rule === name || (pod !== undefined && rule !== undefined && isNamed(rule, pod));
    });
  }

  /** Settles one block, by comparing it and the rules. */
  async settle(seen: Entry): Promise<void> {
    const { store, effects } = this.#ipam;
    let entry: Entry | undefined = seen;
    await retryLostRaces(`keeping addresses by rule '${this.#subject.name}'`, effects, async (n) => {
      if (n > 0) {
        [entry] = await store.get([seen.key]);
        this.#rules = undefined;
      }
      const read = entry && readRecord(entry, decodeBlock);
      if (!entry || !read || 'unreadable' in read) return true;
      const { value: before } = read;
      const rules = (this.#rules ??= await readRules(store));
      const { next, kept, ended } = await this.#settled(before, rules);
      if (next === before) return true;
      const writes = blockWrites([{ before, after: next }]);
      const isNew = keptWrites([{ before, after: next }]).flatMap((write) =>
        write.kind === 'put' ? absent(write.key) : [],
      );
      const guards = [same(entry), asRead(RULES_CHANGED, rules.changed), ...isNew];
      if ((await store.commit(guards, writes)) === undefined) return undefined;
      this.#kept += kept;
      this.#ended += ended;
      return true;
    });
  }

  async #settled(before: Block, rules: Rules): Promise<{ next: Block; kept: number; ended: number }> {
    let [next, kept, ended] = [before, 0, 0];
    // Of several sandboxes of one pod the newest one's is kept.
    const slots = [...before.slots.entries()].sort(([, a], [, b]) => newness(b) - newness(a));
    for (const [i, slot] of slots) {
      if (slot.state !== 'used' && slot.state !== 'kept') continue;
      const address = slotAddress(before, i);
      const wanted = await this.#wanted(rules, before, address, slot);
      if (wanted === 'as-is') continue;
      const { sequence } = slot;
      const isEnded = slot.state === 'kept' && !wanted;
      const changed = isEnded
        ? endKept(next, address, sequence, this.#ipam.effects.now())
        : setKeep(next, address, sequence, wanted);
      if (changed === next || (wanted && (await isTaken(this.#ipam, before, next, changed)))) continue;
      next = changed;
      if (isEnded) ended += 1;
      else if (!slot.keep) kept += 1;
    }
    return { next, kept, ended };
  }

  /** Returns by which rule the address is kept, undefined: by none; or that nothing changes. */
  async #wanted(
    known: Rules,
    block: Block,
    address: Address,
    slot: UsedSlot | KeptSlot,
  ): Promise<Keep | undefined | 'as-is'> {
    const pod = podOf(slot);
    const { name } = this.#subject;
    const isMeant =
      slot.keep?.rule === name || (pod && this.#subject.rule && isNamed(this.#subject.rule, pod));
    if (!pod || !isMeant) return 'as-is';
    const own = await this.#ruleOf(known, pod);
    const terms = own === 'untold' ? own : own && (await this.#termsOf(own, pod, slot));
    if (own === 'untold' || terms === 'untold') {
      if (slot.state === 'used' && !slot.keep) this.#untold.add(formatAddress(address));
      return !slot.keep || isThere(known, slot.keep.rule) ? 'as-is' : undefined;
    }
    if (!own || !terms || !isOfRule(own, block)) return slot.keep ? undefined : 'as-is';
    const since = slot.keep?.since ?? this.#ipam.effects.now();
    const wanted: Keep = { ...terms, rule: own.name, since };
    return isSame(slot.keep, wanted) ? 'as-is' : wanted;
  }

  /**
   * Returns how the rule keeps the address, by itself or because the pod's annotation says so. What
   * was kept for a pod that is gone stays so, for nobody can tell its annotation any more.
   */
  async #termsOf(
    rule: Rule,
    pod: Asked,
    { state, keep }: UsedSlot | KeptSlot,
  ): Promise<Terms | undefined | 'untold'> {
    if (!rule.annotations?.kinds.includes('keep')) return rule.keep;
    const before = keep?.byAnnotation && annotatedTerms(rule, keep);
    if (state === 'kept') return before ?? rule.keep;
    const told = await this.#factsOf(pod, ['pod']);
    if (!told?.pod) return before ?? 'untold';
    try {
      const { keep: value } = readAnnotations(told.pod.annotations, rule.annotations);
      if (value === undefined) return rule.keep;
      return value === 'none' ? undefined : annotatedTerms(rule, value);
    } catch (error) {
      // It has none that counts. The pod lives, and its next one waits until that is mended.
      if (error instanceof IpamError && error.code === 'invalid') return before ?? 'untold';
      throw error;
    }
  }

  /** Returns the rule that the pod would have if it came now. */
  async #ruleOf({ rules, unreadable }: Rules, pod: Asked): Promise<Rule | 'untold' | undefined> {
    // One that cannot be read, such as of a newer program, may be the pod's.
    if (unreadable.some(({ key }) => matchesPattern(namespaceOfRuleKey(key), pod.namespace))) return 'untold';
    let facts: Facts = {};
    for (;;) {
      const choice = chooseRule(rules, pod, facts);
      if ('rule' in choice) return choice.rule;
      const told = await this.#factsOf(pod, choice.asks);
      if (!told) return 'untold';
      facts = told;
    }
  }

  /** Asks about the pod, unless it is known; undefined where an answer is missing. */
  async #factsOf(pod: Asked, sources: readonly FactSource[]): Promise<Facts | undefined> {
    const id = `${pod.namespace}/${pod.name}`;
    const known = this.#facts.get(id) ?? {};
    const missing = sources.filter((source) => known[source] === undefined);
    if (missing.length === 0) return known;
    const facts = { ...known, ...(await this.#ask(pod, missing)) };
    this.#facts.set(id, facts);
    return missing.some((source) => facts[source] === undefined) ? undefined : facts;
  }
}

/** Whether there is a rule of the name, also one that cannot be read. */
const isThere = ({ rules, unreadable }: Rules, name: string): boolean =>
  rules.some((rule) => rule.name === name) || unreadable.some(({ key }) => nameOfRuleKey(key) === name);

type Terms = Pick<Keep, 'forMs' | 'anyPod' | 'byAnnotation'>;

const annotatedTerms = (rule: Rule, { forMs }: Pick<Keep, 'forMs'>): Terms => ({
  ...(forMs !== undefined && { forMs }),
  ...(rule.keep?.anyPod && { anyPod: true as const }),
  byAnnotation: true,
});

function podOf(slot: UsedSlot | KeptSlot): Asked | undefined {
  if (slot.state === 'kept') return slot.pod;
  const { podUid } = slot.owner;
  const pod = podInterfaceOf(slot.owner);
  return pod && { ...pod, ...(podUid !== undefined && { podUid }) };
}

const newness = (slot: Block['slots'][number]): number => (slot.state === 'used' ? slot.allocatedAt : 0);

const isSame = (a: Keep | undefined, b: Keep): boolean =>
  a?.rule === b.rule && a.forMs === b.forMs && a.anyPod === b.anyPod && a.byAnnotation === b.byAnnotation;

/** Whether the rule's pods get addresses of the block. */
const isOfRule = ({ name, ownBlocks, ranges, fallback }: Rule, block: Block): boolean =>
  ruleOf(block) === (ownBlocks ? name : undefined) &&
  (ranges.length === 0 || fallback || ranges.includes(block.range));

/**
 * Whether another address is kept under the key that a change of the block would add.
 * @param before as etcd has it
 */
async function isTaken({ store }: Ipam, before: Block, now: Block, changed: Block): Promise<boolean> {
  const keysOf = (block: Block): string[] => [...keptIn(block)].map(([key]) => key);
  const [known, keys] = [new Set(keysOf(now)), keysOf(changed)];
  if (keys.length > new Set(keys).size) return true;
  const inEtcd = new Set(keysOf(before));
  const added = keys.filter((key) => !known.has(key) && !inEtcd.has(key));
  return added.length > 0 && (await store.get(added)).some((entry) => entry !== undefined);
}
