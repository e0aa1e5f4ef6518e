import type { Address } from '../model/address.ts';
import { markScaledDown } from '../model/kept-slot.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { same } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';

/** A kept address, and since when its StatefulSet does not make its pod. */
export interface KeptMark {
  readonly address: Address;
  /** Sequence of the slot as the caller saw it. */
  readonly sequence: number;
  /** Milliseconds since 1970; undefined takes the mark off. */
  readonly at: number | undefined;
}

/**
 * Marks kept addresses of one block, in one transaction that compares only this block. What changed
 * since the caller saw it, and a block that changes meanwhile, are left to the next check.
 * @throws IpamError `store-…`
 */
export async function markKept(
  { store }: Pick<Ipam, 'store'>,
  blockKey: string,
  marks: readonly KeptMark[],
): Promise<void> {
  const [entry] = await store.get([blockKey]);
  const read = entry && readRecord(entry, decodeBlock);
  if (!read || 'unreadable' in read) return;
  const before = read.value;
  const after = marks.reduce(
    (block, { address, sequence, at }) => markScaledDown(block, address, sequence, at),
    before,
  );
  if (after !== before) await store.commit([same(entry)], blockWrites([{ before, after }]));
}
