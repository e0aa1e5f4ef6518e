import { compareAddresses, type Address } from '../model/address.ts';
import { nodeOf, usedSlots } from '../model/block.ts';
import type { Ipam } from '../node/ipam.ts';
import type { UnreadableRecord } from '../records/unreadable.ts';
import { readAgain } from '../store/store.ts';
import { scanBlocks, type BlockFilter } from './views.ts';

/** A pod that has addresses. */
export interface ListedPod {
  readonly namespace: string;
  readonly name: string;
  /** Absent where the runtime did not tell it. */
  readonly uid: string | undefined;
  readonly node: string;
  /** Of all its interfaces, IPv4 first. */
  readonly addresses: readonly PodAddress[];
  /** When it got the first of them, in milliseconds since 1970. */
  readonly since: number;
  /** The rule by which they are kept for it. */
  readonly keptBy: string | undefined;
}

export interface PodAddress {
  readonly address: Address;
  readonly range: string;
  readonly ifname: string;
}

interface Growing extends Omit<ListedPod, 'addresses'> {
  readonly addresses: PodAddress[];
}

/**
 * Returns the pods that have addresses, each with all of them, sorted by namespace and name. One
 * that is made again under its name is another pod. Reads every block.
 * @throws IpamError `not-found` for an unknown range name, `store-…`
 */
export function listPods(
  ipam: Ipam,
  { node, range }: BlockFilter,
): Promise<{ readonly pods: ListedPod[]; readonly unreadable: readonly UnreadableRecord[] }> {
  return readAgain(async () => {
    const pods = new Map<string, Growing>();
    const unreadable: UnreadableRecord[] = [];
    for await (const page of scanBlocks(ipam, range === undefined ? {} : { range })) {
      unreadable.push(...page.unreadable);
      for (const { block } of page.blocks)
        for (const { address, slot } of usedSlots(block, ({ owner }) => owner.podName !== undefined)) {
          const at = nodeOf(block, slot);
          if (node !== undefined && at !== node) continue;
          const { podNamespace: namespace = '', podName: name = '', podUid: uid, ifname } = slot.owner;
          const key = JSON.stringify([namespace, name, uid ?? slot.owner.containerId]);
          const before = pods.get(key);
          const addresses = before?.addresses ?? [];
          addresses.push({ address, range: block.range, ifname });
          const since = Math.min(before?.since ?? Infinity, slot.allocatedAt);
          const keptBy = before?.keptBy ?? slot.keep?.rule;
          pods.set(key, { namespace, name, uid, node: at, addresses, since, keptBy });
        }
    }
    for (const { addresses } of pods.values()) addresses.sort(byAddress);
    return { pods: [...pods.values()].sort(byName), unreadable };
  });
}

const byAddress = (a: PodAddress, b: PodAddress): number => compareAddresses(a.address, b.address);

const byName = (a: ListedPod, b: ListedPod): number =>
  compareText(a.namespace, b.namespace) || compareText(a.name, b.name) || a.since - b.since;

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
