import { blockInspector } from '../model/block-inspector.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import { decodeBlock, unsoundText } from '../records/block-record.ts';
import { quickBlock } from '../records/quick-block.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord, type Read } from '../records/unreadable.ts';

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
    const quick = quickBlock(entry.key, entry.value);
    const read = quick ? { value: quick } : readRecord(entry, decodeBlock);
    if ('unreadable' in read) return read;
    const block = read.value;
    const of = known.get(block.range);
    const problems = of?.inspect(block) ?? [];
    if (problems.length === 0) return { value: { block, range: of?.range } };
    return { unreadable: { key: entry.key, reason: unsoundText(entry.key, problems) } };
  };
}
