import { formatAddress, type Address } from '../model/address.ts';
import type { Expected } from '../model/block.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import { blockAt } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import { decodeBlock, encodeBlock } from '../records/block-record.ts';
import { blockKey } from '../records/keys.ts';
import { put, unchanged } from '../records/transaction.ts';
import { rangeOf } from '../store/ranges.ts';
import { retryLostRaces } from '../store/retry.ts';
import { takeBack, type BelievedAllocation, type ReleaseOutcome } from './take-back.ts';

/**
 * Takes back allocations of one block of any node, in one transaction, from just the block that the caller has read: for the
 * operator's tool, which looks at blocks and not at nodes.
 * @returns undefined where the block was changed since: it must be looked at anew
 * @throws IpamError `store-…`; where `uncertain` is set, they may have been taken back all the same
 */
export async function releaseInBlock(
  { store, effects }: Pick<Ipam, 'store' | 'effects'>,
  read: ReadBlock,
  allocations: readonly BelievedAllocation[],
): Promise<readonly ReleaseOutcome[] | undefined> {
  const { entry } = read;
  const { block, outcomes, history } = takeBack(read, allocations, effects.now());
  if (block === read.block) return outcomes;
  const done = await store.commit([unchanged(entry)], [put(entry.key, encodeBlock(block)), ...history]);
  return done === undefined ? undefined : outcomes;
}

/**
 * Takes one address back, whichever node has it, only from the allocation that the caller looked at (rule 5).
 * @param cause a `conflict` sets it aside for an hour
 * @throws IpamError `not-found` where no range holds it, `contention`, `store-…`
 */
export function releaseAddress(
  ipam: Pick<Ipam, 'store' | 'effects'>,
  address: Address,
  expected: Expected,
  cause: ReleaseCause,
): Promise<ReleaseOutcome> {
  return retryLostRaces(`releasing ${formatAddress(address)}`, ipam.effects, async () => {
    const range = await rangeOf(ipam, address);
    const [entry] = await ipam.store.get([blockKey(range.name, blockAt(range, address))]);
    if (!entry) return 'free';
    const read = { block: decodeBlock(entry.key, entry.value), range, entry };
    const outcomes = await releaseInBlock(ipam, read, [{ address, expected, cause }]);
    return outcomes?.[0];
  });
}
