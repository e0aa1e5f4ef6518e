import { blockInspector } from '../model/block-inspector.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import { decodeBlockOf, unsoundText } from '../records/block-record.ts';
import { rangeKey, rangeNameOfBlockKey } from '../records/keys.ts';
import { decodeBlockQuickly } from '../records/quick-block.ts';
import type { Entry } from '../records/transaction.ts';
import { decodeRange } from '../records/range-record.ts';
import { readRecord, type Read, type UnreadableRecord } from '../records/unreadable.ts';
import type { Store } from './store.ts';

/** A block of any node. */
export interface ClaimedBlock {
  readonly block: Block;
  /** Undefined if the range is gone, or its record cannot be read. */
  readonly range: Range | undefined;
}

/**
 * Returns a reader of the blocks of a cluster. A block that does not fit its range counts as
 * unreadable.
 */
export function blockReader(
  ranges: readonly Range[],
): (entry: Pick<Entry, 'key' | 'value'>) => Read<ClaimedBlock> {
  const known = new Map(ranges.map((range) => [range.name, { range, inspect: blockInspector(range) }]));
  return (entry) => {
    const read = readRecord(entry, decodeBlockQuickly);
    if ('unreadable' in read) return read;
    const block = read.value;
    const of = known.get(block.range);
    const problems = of?.inspect(block) ?? [];
    if (problems.length === 0) return { value: { block, range: of?.range } };
    return { unreadable: { key: entry.key, reason: unsoundText(entry.key, problems) } };
  };
}

/**
 * Reads a block again that does not fit its range as it was read, both as of one moment: `range
 * set` may have changed both between the two reads.
 * @throws IpamError `store-…`
 */
export async function readAgainWithRange(
  store: Store,
  unreadable: UnreadableRecord,
): Promise<Read<ClaimedBlock>> {
  const { key } = unreadable;
  const [entry, rangeEntry] = await store.get([key, rangeKey(rangeNameOfBlockKey(key))]);
  const ofRange = entry && rangeEntry && readRecord(rangeEntry, decodeRange);
  if (!ofRange || 'unreadable' in ofRange) return { unreadable };
  const range = ofRange.value;
  const read = readRecord(entry, decodeBlockOf(range));
  return 'unreadable' in read ? { unreadable } : { value: { block: read.value, range } };
}
