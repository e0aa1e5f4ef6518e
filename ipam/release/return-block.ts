import { formatCidr } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { isIdle, type BlockUse } from '../node/surplus.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, nodeKey } from '../records/keys.ts';
import { del, same, type Change, type Entry } from '../records/transaction.ts';

/** Makes the change that returns a block. It fails if an address was allocated since the read. */
export function returnBlock(block: Block, entry: Entry): Change {
  return {
    guards: [same(entry)],
    writes: [del(entry.key), del(nodeKey(block.node, block.cidr))],
  };
}

/** `changed`: since the look the block was used, claimed by another node or returned. */
export type ReturnOutcome = 'returned' | 'changed';

/**
 * Returns one block to its range if it is unchanged since the caller looked at it, and still idle.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function returnIdleBlock(
  { store, effects }: Ipam,
  range: Range,
  { cidr, node, sequence }: Pick<BlockUse, 'cidr' | 'node' | 'sequence'>,
): Promise<ReturnOutcome> {
  const key = blockKey(range.name, cidr);
  const [entry] = await store.get([key]);
  if (!entry) return 'changed';
  const block = decodeBlock(key, entry.value);
  const isSame =
    block.node === node && block.sequence === sequence && formatCidr(block.cidr) === formatCidr(cidr);
  if (!isSame || !isIdle({ block, range }, effects.now())) return 'changed';
  const { guards, writes } = returnBlock(block, entry);
  return (await store.commit(guards, writes)) === undefined ? 'changed' : 'returned';
}
