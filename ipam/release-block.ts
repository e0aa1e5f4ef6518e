import type { Address } from './address.ts';
import type { Ipam } from './allocator.ts';
import { releaseSlot, type Block, type Expected } from './block.ts';
import type { ReleaseCause } from './lifetime.ts';
import { recordLifetime } from './lifetime-record.ts';
import type { Range } from './range.ts';
import { encodeBlock } from './records.ts';
import { put, unchanged, type Entry, type Write } from './store.ts';

/** A block as it was read, with its range and what its write must compare. */
export interface ReadBlock {
  readonly block: Block;
  readonly range: Range;
  readonly entry: Entry;
}

/** One allocation that is believed to be in a block, and why it is to end. */
export interface Believed {
  readonly address: Address;
  readonly expected: Expected;
  readonly cause: ReleaseCause;
}

/**
 * Takes back allocations of one block in one transaction, from just the block that the caller looked at (rule 5).
 * @returns undefined where the block was changed since: it must be looked at anew
 * @throws IpamError `store-…`; where `uncertain` is set, they may have been taken back all the same
 */
export async function releaseFromBlock(
  ipam: Ipam,
  { block, range, entry }: ReadBlock,
  allocations: readonly Believed[],
): Promise<readonly ('released' | 'changed' | 'free')[] | undefined> {
  let left = block;
  const lifetimes: Write[] = [];
  const outcomes = allocations.map(({ address, expected, cause }) => {
    const result = releaseSlot(left, address, expected, ipam.around.now(), cause);
    if (result.outcome === 'released') {
      left = result.block;
      lifetimes.push(recordLifetime(range, left, result.lifetime));
    }
    return result.outcome;
  });
  if (left === block) return outcomes;
  const done = await ipam.store.commit([unchanged(entry)], [put(entry.key, encodeBlock(left)), ...lifetimes]);
  if (done === undefined) return undefined;
  ipam.witness?.released(left);
  return outcomes;
}
