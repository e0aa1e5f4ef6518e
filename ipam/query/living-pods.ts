import { nodeOf, usedSlots, type UsedSlot } from '../model/block.ts';
import type { Ipam } from '../node/ipam.ts';
import { readAgain } from '../store/store.ts';
import { scanBlocks } from './views.ts';

/** The pods of a node that have an address of a range. */
export interface PodsOfNode {
  readonly node: string;
  readonly pods: number;
}

/**
 * Counts the pods with an address of the range, by node: each sandbox counts once.
 * @param isMeant of which allocations
 * @returns sorted by node
 * @throws IpamError `not-found`, `corrupt-record` for the range's record, `store-…`
 */
export function podsByNode(
  ipam: Ipam,
  range: string,
  isMeant: (slot: UsedSlot) => boolean = () => true,
): Promise<PodsOfNode[]> {
  return readAgain(async () => {
    const byNode = new Map<string, Set<string>>();
    for await (const { blocks } of scanBlocks(ipam, { range }))
      for (const { block } of blocks)
        for (const { slot } of usedSlots(block, isMeant)) {
          const node = nodeOf(block, slot);
          byNode.set(node, (byNode.get(node) ?? new Set()).add(slot.owner.containerId));
        }
    return [...byNode]
      .map(([node, containers]) => ({ node, pods: containers.size }))
      .sort((a, b) => (a.node < b.node ? -1 : 1));
  });
}
