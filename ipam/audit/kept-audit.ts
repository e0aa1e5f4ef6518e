import { formatAddress } from '../model/address.ts';
import { isKept, type Block } from '../model/block.ts';
import { keptSlots } from '../model/kept-slot.ts';
import type { Ipam } from '../node/ipam.ts';
import { scanBlocks } from '../query/views.ts';
import { decodeKept, KEPT, keptIn } from '../records/kept-record.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { readAgain, scanAll } from '../store/store.ts';

/** What is kept, as of one moment. */
export interface KeptAudit {
  /** How many addresses each rule keeps for pods that are gone, by the rule's name. */
  readonly counts: ReadonlyMap<string, number>;
  /** How blocks and the keys of kept addresses disagree. */
  readonly problems: readonly string[];
}

/**
 * Reads every block, and every key of a kept address.
 * @throws IpamError `store-…`
 */
export async function auditKept(ipam: Ipam): Promise<KeptAudit> {
  const first = await keptOnce(ipam);
  if (first.problems.length === 0) return first;
  // The keys are read after the blocks: what both looks find is so.
  const { counts, problems } = await keptOnce(ipam);
  return { counts, problems: problems.filter((each) => first.problems.includes(each)) };
}

function keptOnce(ipam: Ipam): Promise<KeptAudit> {
  return readAgain(async () => {
    const counts = new Map<string, number>();
    const keeping: Block[] = [];
    let isWhole = true;
    const now = ipam.effects.now();
    for await (const { blocks, unreadable } of scanBlocks(ipam)) {
      isWhole &&= unreadable.length === 0;
      for (const { block } of blocks) {
        if ([...keptIn(block)].length === 0) continue;
        keeping.push(block);
        for (const { slot } of keptSlots(block, (each) => isKept(each, now)))
          counts.set(slot.keep.rule, (counts.get(slot.keep.rule) ?? 0) + 1);
      }
    }
    // What cannot be read may be what a key leads to.
    const entries = await scanAll(ipam.store, KEPT);
    return { counts, problems: isWhole ? keptDisagreements(keeping, entries) : [] };
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
