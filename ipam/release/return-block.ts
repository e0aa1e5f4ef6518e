import { formatCidr } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { isIdle, type BlockUse } from '../node/surplus.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, nodeKey } from '../records/keys.ts';
import { del, unchanged, type Change, type Version } from '../records/transaction.ts';

/** Gives a block back to its range: only as it was read, so not with an address that was given out meanwhile. */
export function returnBlock(block: Block, entry: Version): Change {
  return {
    guards: [unchanged(entry)],
    writes: [del(entry.key), del(nodeKey(block.node, block.cidr))],
  };
}

/** `changed`: it was used, claimed by another or given back since it was looked at. */
export type ReturnOutcome = 'returned' | 'changed';

/**
 * Gives one block back, if it is still the one that was looked at, and idle still.
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
