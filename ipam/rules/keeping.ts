import { formatAddress, type Address } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { slotAddress, type Block, type UsedSlot } from '../model/block.ts';
import { podInterfaceOf } from '../model/keep.ts';
import { endKept, keptSlots, setKeep } from '../model/kept-slot.ts';
import { chooseRule, type Facts, type FactSource, type PodIdentity, type Rule } from '../model/rule.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock, encodeBlock } from '../records/block-record.ts';
import { keptIn, keptWrites } from '../records/kept-record.ts';
import { BLOCKS } from '../records/keys.ts';
import { RULES_CHANGED } from '../records/rule-record.ts';
import { absent, asRead, put, same, type Entry } from '../records/transaction.ts';
import { readRecord, type UnreadableRecord } from '../records/unreadable.ts';
import { retryLostRaces } from '../store/retry.ts';
import { readRules } from '../store/rules.ts';
import { readAgain } from '../store/store.ts';

/** Asks Kubernetes about a pod; undefined where it does not tell. */
export type AskOfPod = (
  pod: PodIdentity & Pick<Owner, 'podUid'>,
  sources: readonly FactSource[],
) => Promise<Facts | undefined>;

export interface Kept {
  /** Addresses that pods have now, and keep. */
  readonly kept: number;
  /** Those of pods for which a rule asks, and nobody told. They are kept from their next pod on. */
  readonly untold: number;
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Keeps the addresses that pods of a rule have now. It changes block by block, and may be run
 * again.
 * @throws IpamError `contention`, `store-…`
 */
export async function keepPresent(ipam: Ipam, rule: Rule, ask: AskOfPod): Promise<Kept> {
  const facts = new Map<string, Facts>();
  const untold = new Set<string>();
  let kept = 0;
  const unreadable = await eachBlock(ipam, 'keeping addresses', async (block) => {
    const { rules, changed } = await readRules(ipam.store);
    const found: { readonly address: Address; readonly slot: UsedSlot }[] = [];
    for (const [i, slot] of block.slots.entries()) {
      if (slot.state !== 'used' || slot.keep || !isOfRanges(rule, block)) continue;
      const address = slotAddress(block, i);
      const pod = podInterfaceOf(slot.owner);
      const { podUid } = slot.owner;
      const asked = pod && { ...pod, ...(podUid !== undefined && { podUid }) };
      const own = asked && (await ruleOf(rules, asked, facts, ask));
      if (own === 'untold') untold.add(formatAddress(address));
      else if (own?.name === rule.name) found.push({ address, slot });
    }
    const since = ipam.effects.now();
    const keep = { ...rule.keep, rule: rule.name, since };
    let next = block;
    let count = 0;
    // Of several sandboxes of one pod the newest one's is kept.
    for (const { address, slot } of found.sort((a, b) => b.slot.allocatedAt - a.slot.allocatedAt)) {
      const changing = setKeep(next, address, slot.sequence, keep);
      if (await isTaken(ipam, next, changing)) continue;
      next = changing;
      count += 1;
    }
    return { next, changed, done: () => (kept += count) };
  });
  return { kept, untold: untold.size, unreadable };
}

/** Whether an address is kept for the pod already. */
async function isTaken({ store }: Ipam, before: Block, after: Block): Promise<boolean> {
  const known = new Set([...keptIn(before)].map(([key]) => key));
  const keys = [...keptIn(after)].map(([key]) => key);
  const added = keys.filter((key) => !known.has(key));
  if (keys.length > new Set(keys).size) return true;
  return added.length > 0 && (await store.get(added)).some((entry) => entry !== undefined);
}

const isOfRanges = ({ ranges, fallback }: Rule, { range }: Block): boolean =>
  ranges.length === 0 || fallback || ranges.includes(range);

/** Returns the rule that the pod would have if it came now. */
async function ruleOf(
  rules: readonly Rule[],
  pod: Parameters<AskOfPod>[0],
  known: Map<string, Facts>,
  ask: AskOfPod,
): Promise<Rule | 'untold' | undefined> {
  const id = `${pod.namespace}/${pod.name}`;
  for (;;) {
    const facts = known.get(id) ?? {};
    const choice = chooseRule(rules, pod, facts);
    if ('rule' in choice) return choice.rule;
    const told = await ask(pod, choice.asks);
    if (!told || choice.asks.some((source) => told[source] === undefined)) return 'untold';
    known.set(id, { ...facts, ...told });
  }
}

/**
 * Ends what a rule that is gone keeps: addresses of no pod become free after their rest, those that
 * pods have become free when these go.
 * @returns how many addresses were kept for pods that are gone
 * @throws IpamError `contention`, `store-…`
 */
export async function endKeptOf(
  ipam: Ipam,
  rule: string,
): Promise<{ readonly ended: number; readonly unreadable: readonly UnreadableRecord[] }> {
  let ended = 0;
  const unreadable = await eachBlock(ipam, `ending what rule '${rule}' keeps`, async (block) => {
    const { changed } = await readRules(ipam.store);
    const now = ipam.effects.now();
    let next = block;
    const idle = keptSlots(block, ({ keep }) => keep.rule === rule);
    for (const { index, slot } of idle) next = endKept(next, slotAddress(block, index), slot.sequence, now);
    for (const [i, slot] of block.slots.entries())
      if (slot.state === 'used' && slot.keep?.rule === rule)
        next = setKeep(next, slotAddress(block, i), slot.sequence, undefined);
    return { next, changed, done: () => (ended += idle.length) };
  });
  return { ended, unreadable };
}

interface BlockChange {
  /** The same object if nothing is to change. */
  readonly next: Block;
  /** The key that changes with each rule, as it was when the change was decided. */
  readonly changed: Entry | undefined;
  /** Called once it is written. */
  readonly done: () => void;
}

/** Changes every block of the cluster in a transaction of its own, which compares it as read. */
async function eachBlock(
  { store, effects }: Ipam,
  what: string,
  change: (block: Block) => Promise<BlockChange>,
): Promise<UnreadableRecord[]> {
  const keys = await readAgain(async () => {
    const found: string[] = [];
    for await (const page of store.scan(BLOCKS, { keysOnly: true }))
      found.push(...page.map(({ key }) => key));
    return found;
  });
  const unreadable: UnreadableRecord[] = [];
  for (const key of keys)
    await retryLostRaces(what, effects, async () => {
      const [entry] = await store.get([key]);
      if (!entry) return true;
      const read = readRecord(entry, decodeBlock);
      if ('unreadable' in read) {
        unreadable.push(read.unreadable);
        return true;
      }
      const { next, changed, done } = await change(read.value);
      if (next === read.value) return true;
      const kept = keptWrites([{ before: read.value, after: next }]);
      const isNew = kept.flatMap((write) => (write.kind === 'put' ? absent(write.key) : []));
      const guards = [same(entry), asRead(RULES_CHANGED, changed), ...isNew];
      if ((await store.commit(guards, [put(key, encodeBlock(next)), ...kept])) === undefined)
        return undefined;
      done();
      return true;
    });
  return unreadable;
}
