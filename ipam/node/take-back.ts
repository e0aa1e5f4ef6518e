import { cidrContains, formatAddress, type Address } from '../model/address.ts';
import { releaseSlot, type Block, type Expected } from '../model/block.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import { recordLifetime } from '../records/history-record.ts';
import type { Put } from '../records/transaction.ts';
import type { HeldBlock } from './node-blocks.ts';
import type { NodeTransaction } from './transaction.ts';

/** An allocation that the caller expects in a block, and why it ends. */
export interface BelievedAllocation {
  readonly address: Address;
  readonly expected: Expected;
  readonly cause: ReleaseCause;
}

/** `changed`: another allocation holds the address and keeps it. `free`: none does. */
export type ReleaseOutcome = 'released' | 'changed' | 'free';

/** The result of releasing addresses of one block. */
export interface TakenBack {
  /** The block afterwards; the same object if nothing was released. */
  readonly block: Block;
  /** One outcome for each allocation, in their order. */
  readonly outcomes: readonly ReleaseOutcome[];
  /** Records for the transaction that writes the block. */
  readonly history: readonly Put[];
}

/** Releases those allocations of the block that still are as expected (rule 5). */
export function takeBack(
  { block, range }: HeldBlock,
  allocations: readonly BelievedAllocation[],
  now: number,
): TakenBack {
  let left = block;
  const history: Put[] = [];
  const outcomes = allocations.map(({ address, expected, cause }) => {
    const result = releaseSlot(left, address, expected, now, cause);
    if (result.outcome === 'released') {
      left = result.block;
      history.push(recordLifetime(range, left, result.lifetime));
    }
    return result.outcome;
  });
  return { block: left, outcomes, history };
}

/**
 * Releases those allocations in the transaction that its blocks still have as expected.
 * @returns the released addresses, as text
 */
export function takeBackAll(
  transaction: NodeTransaction,
  believed: readonly BelievedAllocation[],
  now: number,
): string[] {
  return transaction.held.flatMap((held) => {
    const own = believed.filter(({ address }) => cidrContains(held.block.cidr, address));
    const { block, outcomes, history } = takeBack(held, own, now);
    if (block === held.block) return [];
    transaction.put(block);
    for (const record of history) transaction.tell(record);
    return own.filter((_, i) => outcomes[i] === 'released').map(({ address }) => formatAddress(address));
  });
}
