import type { Family } from '../model/address.ts';
import type { Source } from '../model/demand.ts';
import { takeSlot, type Block } from '../model/block.ts';
import { ruleField } from '../model/holder.ts';
import { podInterfaceOf, type Keep } from '../model/keep.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { Foreign, NodeTransaction } from '../node/transaction.ts';
import type { Guard } from '../records/transaction.ts';
import type { Allocation, AllocationRequest } from './allocation.ts';

/** VLAN of the attachment's port, wrapped: `{ vlan: undefined }` is untagged, undefined is any. */
export type FixedVlan = { readonly vlan: number | undefined } | undefined;

/** A request for an address of one family, as part of an allocation. */
export interface PickContext {
  readonly ipam: Ipam;
  readonly request: AllocationRequest & Source;
  readonly family: Family;
  /** The node's; where the addresses come from a rule's own blocks, those that it knows of them. */
  readonly blocks: readonly HeldBlock[];
  /** What the transaction has read and changed beside the node's own blocks. */
  readonly others: Pick<NodeTransaction, 'guests' | 'unreadable'>;
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
  /** Present if the node has nothing of the block so far. */
  readonly from?: Foreign;
  /** What must still hold besides. */
  readonly guards?: readonly Guard[];
}

/** What an assignment depends on. */
type AssignContext = Pick<PickContext, 'ipam' | 'family' | 'unproven'> & {
  readonly request: Pick<AllocationRequest & Source, 'owner' | 'node' | 'keep' | 'annotated'>;
  /** By which rule the address is kept; absent: by the request's, from now on. */
  readonly keep?: Keep;
};

/** @param from given if the node has nothing of the block so far */
export function assign(
  { ipam, request, family, unproven, keep: before }: AssignContext,
  held: HeldBlock,
  index: number,
  from?: Foreign,
): Assignment {
  const { range } = held;
  const { owner, node } = request;
  const now = ipam.effects.now();
  const keep = before ?? (request.keep && podInterfaceOf(owner) && { ...request.keep, since: now });
  const chosenBy = request.annotated?.by[family] ?? [];
  const { block, slot } = takeSlot(held.block, index, owner, now, {
    ...(held.block.node !== node && { node }),
    ...(keep && { keep }),
    ...(chosenBy.length > 0 && { chosenBy }),
  });
  const address = { family, value: block.cidr.base.value + BigInt(index) };
  const allocation = {
    ...{ address, range, block: block.cidr, slot, fresh: true, unproven },
    ...ruleField(block),
  };
  return { allocation, block, ...(from && { from }) };
}
