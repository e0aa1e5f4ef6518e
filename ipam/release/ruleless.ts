import { formatCidr } from '../model/address.ts';
import { ruleOf } from '../model/holder.ts';
import type { Ipam } from '../node/ipam.ts';
import { blockUseOf } from '../node/surplus.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey } from '../records/keys.ts';
import { decodeRoom, OWN, ruleOfRoomKey } from '../records/own-record.ts';
import { readRecord } from '../records/unreadable.ts';
import { readRanges } from '../store/ranges.ts';
import { mayOwnBlocks, readRules } from '../store/rules.ts';
import { scanAll } from '../store/store.ts';
import { returnIdleBlock } from './return-block.ts';

/** Own blocks whose rule is gone, or has none of its own any more. */
export interface Ruleless {
  /** Subnets of those that were returned to their range. */
  readonly returned: readonly string[];
  /** Subnets of those that have room, and addresses that are used, kept or rest. */
  readonly left: readonly string[];
}

/**
 * Returns idle blocks that no rule owns any more to their range. It reads the blocks of such rules
 * only.
 * @param dryRun only finds them
 * @throws IpamError `store-…`
 */
export async function returnRuleless(ipam: Ipam, dryRun = false): Promise<Ruleless> {
  const { store, effects } = ipam;
  const entries = await scanAll(store, OWN);
  if (entries.length === 0) return { returned: [], left: [] };
  // Read after the blocks: a rule that is added now has none of them yet.
  const rules = await readRules(store);
  const { ranges } = await readRanges(store);
  const returned: string[] = [];
  const left: string[] = [];
  for (const entry of entries) {
    const read = readRecord(entry, decodeRoom);
    if ('unreadable' in read || mayOwnBlocks(rules, ruleOfRoomKey(entry.key))) continue;
    const place = read.value;
    const range = ranges.find((each) => each.range.name === place.range)?.range;
    if (!range) continue;
    const [found] = await store.get([blockKey(range.name, place.cidr)]);
    const block = found && readRecord(found, decodeBlockOf(range));
    if (!block || 'unreadable' in block || ruleOf(block.value) !== ruleOfRoomKey(entry.key)) continue;
    const use = blockUseOf({ block: block.value, range }, effects.now());
    const outcome = !use.idle ? 'used' : dryRun ? 'returned' : await returnIdleBlock(ipam, range, use);
    (outcome === 'returned' ? returned : left).push(formatCidr(place.cidr));
  }
  return { returned, left };
}
