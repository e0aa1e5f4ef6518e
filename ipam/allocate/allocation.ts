import type { Address, Cidr } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import type { UsedSlot } from '../model/block.ts';
import type { Demand } from '../model/demand.ts';
import type { Range } from '../model/range.ts';

/** An address that an attachment has. */
export interface Allocation {
  readonly address: Address;
  readonly range: Range;
  readonly block: Cidr;
  readonly slot: UsedSlot;
  /** Given by this very call, not kept from an earlier one: what an undo may take back. */
  readonly fresh: boolean;
}

export interface AllocationRequest extends Demand {
  readonly owner: Owner;
  /** Addresses that it must be, at most one of each family. */
  readonly requested?: readonly RequestedAddress[];
}

export interface RequestedAddress extends Address {
  /** Where it is given, it must be the range's. */
  readonly prefixLength?: number;
}
