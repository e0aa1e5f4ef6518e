import type { Address } from './address.ts';
import type { Ipam } from './allocator.ts';
import { releaseSlot, type Block, type Expected } from './block.ts';
import { encodeBlock } from './records.ts';
import { put, unchanged, type Entry } from './store.ts';

/** A block as it was read, with what its write must compare. */
export interface ReadBlock {
  readonly block: Block;
  readonly entry: Entry;
}

/** One allocation that is believed to be in a block. */
export interface Believed {
  readonly address: Address;
  readonly expected: Expected;
}

/**
 * Takes back allocations of one block in one transaction, from just the block that the caller looked at (rule 5).
 * @returns undefined where the block was changed since: it must be looked at anew
 * @throws IpamError `store-…`; where `uncertain` is set, they may have been taken back all the same
 */
export async function releaseFromBlock(
  ipam: Ipam,
  { block, entry }: ReadBlock,
  allocations: readonly Believed[],
): Promise<readonly ('released' | 'changed' | 'free')[] | undefined> {
  let left = block;
  const outcomes = allocations.map(({ address, expected }) => {
    const result = releaseSlot(left, address, expected, ipam.around.now());
    if (result.outcome === 'released') left = result.block;
    return result.outcome;
  });
  if (left === block) return outcomes;
  const done = await ipam.store.commit([unchanged(entry)], [put(entry.key, encodeBlock(left))]);
  if (done === undefined) return undefined;
  ipam.witness?.released(left);
  return outcomes;
}
