import type { UnreadableRecord } from '../records/unreadable.ts';
import type { Ipam } from './ipam.ts';
import type { HeldBlock } from './node-blocks.ts';

/** What a node holds, as etcd says now. */
export interface OwnBlocks {
  readonly blocks: readonly HeldBlock[];
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Reads the blocks of this machine's own node. It first writes back what lives on the node and etcd
 * has forgotten.
 * @throws IpamError `other-machine` if another machine has the node's name, `contention`, `store-…`
 */
export function readOwnBlocks(ipam: Pick<Ipam, 'runner'>, node: string): Promise<OwnBlocks> {
  return ipam.runner.run<OwnBlocks>(node, {
    change: ({ cached, blocks, unreadable }) => (cached ? undefined : { blocks, unreadable }),
  });
}
