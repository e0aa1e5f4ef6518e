import { formatAddress, type Cidr } from '../model/address.ts';
import { isKept, type Block } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { keptSlots } from '../model/kept-slot.ts';
import type { Ipam } from '../node/ipam.ts';
import { scanBlocks } from '../query/views.ts';
import { decodeKept, KEPT, keptIn } from '../records/kept-record.ts';
import { OWN, roomKeyOf } from '../records/own-record.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { readAgain, scanAll } from '../store/store.ts';

/** What rules keep and have of their own, as of one moment. */
export interface KeptAudit {
  /** How many addresses each rule keeps for pods that are gone, by the rule's name. */
  readonly counts: ReadonlyMap<string, number>;
  /** Subnets of each rule's own blocks, by the rule's name. */
  readonly owned: ReadonlyMap<string, readonly Cidr[]>;
  /** How blocks and the keys that follow from them disagree. */
  readonly problems: readonly string[];
}

/**
 * Reads every block, and every key of a kept address or of a rule's own block with room.
 * @throws IpamError `store-…`
 */
export async function auditKept(ipam: Ipam): Promise<KeptAudit> {
  const first = await keptOnce(ipam);
  if (first.problems.length === 0) return first;
  // The keys are read after the blocks: what both looks find is so.
  const { problems, ...audit } = await keptOnce(ipam);
  return { ...audit, problems: problems.filter((each) => first.problems.includes(each)) };
}

function keptOnce(ipam: Ipam): Promise<KeptAudit> {
  return readAgain(async () => {
    const counts = new Map<string, number>();
    const keeping: Block[] = [];
    const owned: Block[] = [];
    let isWhole = true;
    const now = ipam.effects.now();
    for await (const { blocks, unreadable } of scanBlocks(ipam)) {
      isWhole &&= unreadable.length === 0;
      for (const { block } of blocks) {
        if (ruleOf(block) !== undefined) owned.push(block);
        if ([...keptIn(block)].length === 0) continue;
        keeping.push(block);
        for (const { slot } of keptSlots(block, (each) => isKept(each, now)))
          counts.set(slot.keep.rule, (counts.get(slot.keep.rule) ?? 0) + 1);
      }
    }
    // What cannot be read may be what a key leads to.
    const entries = await scanAll(ipam.store, KEPT);
    const rooms = await scanAll(ipam.store, OWN, { keysOnly: true });
    const problems = [...keptDisagreements(keeping, entries), ...roomDisagreements(owned, rooms)];
    return { counts, owned: ownedBy(owned), problems: isWhole ? problems : [] };
  });
}

/**
 * Returns how the keys of kept addresses and the blocks disagree: each follows from the other.
 * @param entries everything below `kept/`
 */
export function keptDisagreements(
  blocks: Iterable<Block>,
  entries: Iterable<Pick<Entry, 'key' | 'value'>>,
): string[] {
  const problems: string[] = [];
  const wanted = new Map<string, string>();
  for (const block of blocks)
    for (const [key, { address }] of keptIn(block)) {
      const before = wanted.get(key);
      const ip = formatAddress(address);
      if (before !== undefined) problems.push(`${before} and ${ip} are both kept as ${key}`);
      wanted.set(key, ip);
    }
  for (const entry of entries) {
    const { key } = entry;
    const read = readRecord(entry, decodeKept);
    if ('unreadable' in read) {
      problems.push(read.unreadable.reason);
      wanted.delete(key);
      continue;
    }
    const ip = formatAddress(read.value.address);
    if (wanted.get(key) !== ip)
      problems.push(`${key} says ${ip}, the blocks ${wanted.get(key) ?? 'nothing'}`);
    wanted.delete(key);
  }
  for (const [key, ip] of wanted) problems.push(`${ip} is kept, and ${key} is missing`);
  return problems;
}

function ownedBy(blocks: readonly Block[]): Map<string, Cidr[]> {
  const owned = new Map<string, Cidr[]>();
  for (const block of blocks) {
    const rule = ruleOf(block) ?? '';
    owned.set(rule, [...(owned.get(rule) ?? []), block.cidr]);
  }
  return owned;
}

/**
 * Returns how the keys of own blocks with room and the blocks disagree.
 * @param blocks at least those that rules hold
 * @param entries everything below `own/`
 */
export function roomDisagreements(blocks: Iterable<Block>, entries: Iterable<Pick<Entry, 'key'>>): string[] {
  const wanted = new Set([...blocks].flatMap((block) => roomKeyOf(block) ?? []));
  const there = new Set([...entries].map(({ key }) => key));
  return [
    ...[...there].filter((key) => !wanted.has(key)).map((key) => `${key} is of no block with room`),
    ...[...wanted].filter((key) => !there.has(key)).map((key) => `${key} is missing: its block has room`),
  ];
}
