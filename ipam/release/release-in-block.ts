import { formatAddress, type Address } from '../model/address.ts';
import { slotIndex, type Expected } from '../model/block.ts';
import { endKept } from '../model/kept-slot.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import { blockAt } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import { takeBack, type BelievedAllocation, type ReleaseOutcome } from '../node/take-back.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { blockKey, rangeKey } from '../records/keys.ts';
import { same, type Guard } from '../records/transaction.ts';
import { rangeAsOf, rangeOf } from '../store/ranges.ts';
import { retryLostRaces } from '../store/retry.ts';

/**
 * Releases allocations of one block of any node in one transaction that compares only this block.
 * For the operator's tool, which works on blocks and not on nodes.
 * @param more to compare besides
 * @returns undefined if the block changed since the caller read it: the caller must read it again
 * @throws IpamError `store-…`; if `uncertain` is set, etcd may have written the release
 */
export async function releaseInBlock(
  { store, effects }: Pick<Ipam, 'store' | 'effects'>,
  read: ReadBlock,
  allocations: readonly BelievedAllocation[],
  more: readonly Guard[] = [],
): Promise<readonly ReleaseOutcome[] | undefined> {
  const { entry } = read;
  const { block, outcomes, history } = takeBack(read, allocations, effects.now());
  if (block === read.block) return outcomes;
  const writes = [...blockWrites([{ before: read.block, after: block }]), ...history];
  const done = await store.commit([same(entry), ...more], writes);
  return done === undefined ? undefined : outcomes;
}

/**
 * Releases one address of any node, but only from the allocation that the caller saw (rule 5).
 * @param cause a `conflict` sets the address aside for at least an hour
 * @param more to compare besides; what never holds ends in `contention`
 * @throws IpamError `not-found` if no range contains the address, `corrupt-record` for its block,
 *   `contention`, `store-…`
 */
export function releaseAddress(
  ipam: Pick<Ipam, 'store' | 'effects'>,
  address: Address,
  expected: Expected,
  cause: ReleaseCause,
  more: readonly Guard[] = [],
): Promise<ReleaseOutcome> {
  return retryLostRaces(`releasing ${formatAddress(address)}`, ipam.effects, async () => {
    const read = await readBlockOf(ipam, address);
    if (!read) return 'free';
    const outcomes = await releaseInBlock(ipam, read, [{ address, expected, cause }], more);
    return outcomes?.[0];
  });
}

/**
 * Ends the keeping of an address that no attachment has.
 * @param sequence of the slot as the caller saw it
 * @returns false if a pod has the address by now, or nothing keeps it
 * @throws IpamError `not-found` if no range contains the address, `corrupt-record` for its block,
 *   `contention`, `store-…`
 */
export function endKeptAddress(
  ipam: Pick<Ipam, 'store' | 'effects'>,
  address: Address,
  sequence: number,
): Promise<boolean> {
  return retryLostRaces(`releasing ${formatAddress(address)}`, ipam.effects, async () => {
    const read = await readBlockOf(ipam, address);
    const slot = read?.block.slots[slotIndex(read.block, address)];
    if (!read || slot?.state !== 'kept') return false;
    const next = endKept(read.block, address, sequence, ipam.effects.now());
    if (next === read.block) return false;
    const writes = blockWrites([{ before: read.block, after: next }]);
    return (await ipam.store.commit([same(read.entry)], writes)) === undefined ? undefined : true;
  });
}

/**
 * Reads the block that has the address; undefined if no node holds it.
 * @throws IpamError `not-found` if no range contains the address, `corrupt-record`, `store-…`
 */
export async function readBlockOf(
  ipam: Pick<Ipam, 'store'>,
  address: Address,
): Promise<ReadBlock | undefined> {
  const found = await rangeOf(ipam, address);
  const keys = [blockKey(found.name, blockAt(found, address)), rangeKey(found.name)];
  const [entry, rangeEntry] = await ipam.store.get(keys);
  const range = rangeAsOf(found, rangeEntry);
  return entry && { block: decodeBlockOf(range)(entry.key, entry.value), range, entry };
}
