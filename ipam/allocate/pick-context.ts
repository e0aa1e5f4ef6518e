import type { Family } from '../model/address.ts';
import type { Source } from '../model/demand.ts';
import { takeSlot, type Block } from '../model/block.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { Claim } from '../node/transaction.ts';
import type { Entry } from '../records/transaction.ts';
import type { Allocation, AllocationRequest } from './allocation.ts';

/** VLAN of the attachment's port, wrapped: `{ vlan: undefined }` is untagged, undefined is any. */
export type FixedVlan = { readonly vlan: number | undefined } | undefined;

/** A request for an address of one family, as part of an allocation. */
export interface PickContext {
  readonly ipam: Ipam;
  readonly request: AllocationRequest & Source;
  readonly family: Family;
  readonly blocks: readonly HeldBlock[];
  /** Those of the blocks that the same transaction claims: the store does not have them yet. */
  readonly claims: readonly HeldBlock[];
  readonly fixed: FixedVlan;
  /** Whether a new address must be proven free on the wire. */
  readonly unproven: boolean;
  /** How many attempts were lost to other writers. */
  readonly attempt: number;
}

/** One family's part of the transaction. */
export interface Assignment {
  readonly allocation: Allocation;
  /** The block after the assignment. */
  readonly block: Block;
  /** Present if the block is newly claimed. */
  readonly claim?: Claim;
}

/** @param rangeEntry given if the block is newly claimed */
export function assign(context: PickContext, held: HeldBlock, index: number, rangeEntry?: Entry): Assignment {
  const { range } = held;
  const { block, slot } = takeSlot(held.block, index, context.request.owner, context.ipam.effects.now());
  const address = { family: context.family, value: block.cidr.base.value + BigInt(index) };
  const allocation = { address, range, block: block.cidr, slot, fresh: true, unproven: context.unproven };
  return { allocation, block, ...(rangeEntry && { claim: { block, range, rangeEntry } }) };
}
