import type { Address } from '../model/address.ts';
import { releaseSlot, type Block, type Expected } from '../model/block.ts';
import type { ReleaseCause } from '../model/lifetime.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { recordLifetime } from '../records/history-record.ts';
import type { Put } from '../records/transaction.ts';

/** One allocation that is believed to be in a block, and why it is to end. */
export interface BelievedAllocation {
  readonly address: Address;
  readonly expected: Expected;
  readonly cause: ReleaseCause;
}

/** `changed`: the address has another owner now, and keeps it. `free`: nobody had it. */
export type ReleaseOutcome = 'released' | 'changed' | 'free';

/** What releasing writes of one block. */
export interface TakenBack {
  /** As it is then; the very same value where nothing is released. */
  readonly block: Block;
  /** One for each allocation, in their order. */
  readonly outcomes: readonly ReleaseOutcome[];
  /** For the transaction that writes the block. */
  readonly history: readonly Put[];
}

/** Takes back those allocations of the block that still are what is believed (rule 5). */
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
