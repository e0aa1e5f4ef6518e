import type { UnreadableRecord } from '../records/unreadable.ts';
import { allocationsOn, type RangedAllocation } from './allocations.ts';
import type { Ipam } from './ipam.ts';

/** What a node's attachments have, as etcd says now. */
export interface OwnAllocations {
  readonly allocations: readonly RangedAllocation[];
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Reads the allocations of this machine's own node. It first writes back what lives on the node and
 * etcd has forgotten.
 * @throws IpamError `other-machine` if another machine has the node's name, `contention`, `store-…`
 */
export function readOwnAllocations(ipam: Pick<Ipam, 'runner'>, node: string): Promise<OwnAllocations> {
  return ipam.runner.run<OwnAllocations>(node, {
    change: (transaction) =>
      transaction.cached
        ? undefined
        : { allocations: allocationsOn(node, transaction), unreadable: transaction.unreadable },
  });
}
