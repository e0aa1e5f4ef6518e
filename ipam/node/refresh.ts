import type { Block } from '../model/block.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { readRecord } from '../records/unreadable.ts';
import type { Store } from '../store/store.ts';
import type { ReadBlock } from './node-blocks.ts';
import type { NodeTransaction } from './transaction.ts';

/**
 * Reads those blocks of others again of which the node has addresses, where the transaction has
 * them from a cache: others change them all the time. A lost race costs more than this read.
 * @returns false if one of them cannot be read any more: everything must be read again
 * @throws IpamError `store-…`
 */
export async function refreshGuests(
  { store }: { readonly store: Store },
  transaction: NodeTransaction,
  isWanted: (block: Block) => boolean,
): Promise<boolean> {
  const old = transaction.oldGuests.filter(({ block }) => isWanted(block));
  if (old.length === 0) return true;
  const entries = await store.get(old.map(({ entry }) => entry.key));
  const newer = old.flatMap((before, i): ReadBlock[] => {
    const entry = entries[i];
    if (!entry) return [];
    if (entry.value === before.entry.value) return [before];
    const { range } = before;
    const read = readRecord(entry, decodeBlockOf(range));
    return 'value' in read ? [{ block: read.value, range, entry }] : [];
  });
  transaction.refresh(newer);
  return newer.length === old.length;
}
