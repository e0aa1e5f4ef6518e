import { formatCidr } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { isIdle, type BlockUse } from '../node/surplus.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { blockKey, nodeKey, rangeKey } from '../records/keys.ts';
import { decodeNodeEntry } from '../records/node-record.ts';
import { asRead, same, type Change, type Entry, type Guard } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { rangeAsOf } from '../store/ranges.ts';

/**
 * Makes the change that returns a block with its index entry. It fails if an address was allocated
 * since the read.
 * @param index the index entry as read; undefined if there is none
 * @throws IpamError `corrupt-record` for an index entry that cannot be read: it must stay
 */
export function returnBlock(block: Block, entry: Entry, index: Entry | undefined): Change {
  const indexKey = nodeKey(block.node, block.cidr);
  if (index) decodeNodeEntry(index.key, index.value);
  return {
    guards: [same(entry), asRead(indexKey, index)],
    writes: blockWrites([{ before: block, after: undefined }]),
  };
}

/**
 * `changed`: since the look the block was used, claimed by another node or returned. `unreadable`:
 * the record of the block or its index entry cannot be read, and both stay.
 */
export type ReturnOutcome = 'returned' | 'changed' | 'unreadable';

/**
 * Returns one block to its range if it is unchanged since the caller looked at it, and still idle.
 * @param more to compare besides
 * @throws IpamError `store-…`
 */
export async function returnIdleBlock(
  { store, effects }: Ipam,
  known: Range,
  { cidr, node, sequence }: Pick<BlockUse, 'cidr' | 'node' | 'sequence'>,
  more: readonly Guard[] = [],
): Promise<ReturnOutcome> {
  const keys = [blockKey(known.name, cidr), nodeKey(node, cidr), rangeKey(known.name)];
  const [entry, index, rangeEntry] = await store.get(keys);
  if (!entry) return 'changed';
  const read = readRecord(entry, (key, value) => {
    const range = rangeAsOf(known, rangeEntry);
    return { range, block: decodeBlockOf(range)(key, value) };
  });
  if ('unreadable' in read) return 'unreadable';
  const { range, block } = read.value;
  const isSame =
    block.node === node && block.sequence === sequence && formatCidr(block.cidr) === formatCidr(cidr);
  if (!isSame || !isIdle({ block, range }, effects.now())) return 'changed';
  const change = readRecord(entry, () => returnBlock(block, entry, index));
  if ('unreadable' in change) return 'unreadable';
  const { guards, writes } = change.value;
  return (await store.commit([...guards, ...more], writes)) === undefined ? 'changed' : 'returned';
}
