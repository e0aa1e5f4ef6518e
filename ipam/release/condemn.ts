import type { Address } from '../model/address.ts';
import { condemnSlot, pardonSlot, type Condemned } from '../model/condemn-slot.ts';
import type { Condemnation } from '../model/condemnation.ts';
import type { Ipam } from '../node/ipam.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import type { BelievedAllocation } from '../node/take-back.ts';
import { blockWrites } from '../records/block-writes.ts';
import { same } from '../records/transaction.ts';

/** What to condemn, and why. */
export type CondemnedAllocation = Omit<BelievedAllocation, 'cause'> & { readonly condemned: Condemnation };

/**
 * Condemns allocations of one block of any node in one transaction that compares only this block.
 * The node of the block clears them away.
 * @returns one outcome for each, in their order; undefined if the block changed since the caller
 *   read it
 * @throws IpamError `store-…`
 */
export async function condemnInBlock(
  { store }: Pick<Ipam, 'store'>,
  { block, entry }: ReadBlock,
  allocations: readonly CondemnedAllocation[],
): Promise<readonly Condemned['outcome'][] | undefined> {
  let changed = block;
  const outcomes = allocations.map(({ address, expected, condemned }) => {
    const result = condemnSlot(changed, address, expected, condemned);
    if (result.outcome === 'condemned') changed = result.block;
    return result.outcome;
  });
  if (changed === block) return outcomes;
  const done = await store.commit([same(entry)], blockWrites([{ before: block, after: changed }]));
  return done === undefined ? undefined : outcomes;
}

/**
 * Takes the sentences off allocations of one block whose pods turned out to live.
 * @returns false if the block changed since the caller read it
 * @throws IpamError `store-…`
 */
export async function pardonInBlock(
  { store }: Pick<Ipam, 'store'>,
  { block, entry }: ReadBlock,
  addresses: readonly Address[],
): Promise<boolean> {
  const changed = addresses.reduce(pardonSlot, block);
  if (changed === block) return true;
  return (await store.commit([same(entry)], blockWrites([{ before: block, after: changed }]))) !== undefined;
}
