import type { Address, Cidr } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import type { UsedSlot } from '../model/block.ts';
import type { Demand } from '../model/demand.ts';
import type { Range } from '../model/range.ts';
import type { Facts, FactSource } from '../model/rule.ts';

/** An address that an attachment has. */
export interface Allocation {
  readonly address: Address;
  readonly range: Range;
  readonly block: Cidr;
  /** Name of the rule whose own block it is; absent: the block is a node's. */
  readonly rule?: string;
  readonly slot: UsedSlot;
  /** True if this very call allocated it. An undo may release only such an address. */
  readonly fresh: boolean;
  /**
   * True if etcd was set back a short while ago, so that another node may use the address without
   * etcd's knowledge. The caller must prove it free on the wire before it uses it.
   */
  readonly unproven: boolean;
}

export interface AllocationRequest extends Demand {
  readonly owner: Owner;
  /**
   * Asks Kubernetes about the pod, where a rule needs it. Absent: nobody can be asked. It rejects
   * where an answer is missing: nobody guesses.
   */
  readonly ask?: (sources: readonly FactSource[]) => Promise<Facts>;
  /** Addresses that the attachment has by the node's own record, from an earlier ADD. */
  readonly known?: readonly Address[];
}
