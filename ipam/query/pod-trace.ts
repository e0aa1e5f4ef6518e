import { sameAddress, type Address, type Cidr } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { usedSlots, type UsedSlot } from '../model/block.ts';
import type { Lifetime } from '../model/lifetime.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { partsOfHistoryKey } from '../records/history-record.ts';
import { BLOCKS, HISTORY } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { readRanges } from '../store/ranges.ts';
import { readLifetimes } from './history.ts';

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** An address that a pod has. */
export interface HeldAddress {
  readonly address: Address;
  readonly node: string;
  readonly block: Cidr;
  /** Name of the range. */
  readonly range: string;
  /** VLAN ID of the range; undefined: untagged, or the range is gone. */
  readonly vlan: number | undefined;
  readonly slot: UsedSlot;
}

/** What etcd knows of the pods with one name, whatever their UIDs. */
export interface PodTrace {
  readonly held: readonly HeldAddress[];
  /** Newest first, at most {@link MAX_PAST}. */
  readonly past: readonly Lifetime[];
  /** Number of further past lifetimes, all of them older. */
  readonly omitted: number;
  /** Why records of the history could not be read, each with its key. */
  readonly unreadable: readonly string[];
}

/** How many past lifetimes of a pod the trace contains. */
export const MAX_PAST = 100;

/**
 * Traces a pod in etcd by its name. It reads every block and the whole history, page by page: for
 * an operator, not for an ADD. It holds no more in memory than a page and its findings.
 * @param onPage receives the number of records read so far
 * @throws IpamError `corrupt-record` for a block that contains the pod's name, `store-…`
 */
export async function tracePod(ipam: Ipam, pod: PodName, onPage: (n: number) => void): Promise<PodTrace> {
  const ranges = new Map((await readRanges(ipam.store)).map(({ range }) => [range.name, range]));
  const pages = pagesWith(ipam, pod, onPage);
  // Blocks first: a concurrently released address is then seen twice instead of missed.
  const held = await heldBy(pages(BLOCKS), pod, ranges);
  const { past, ...rest } = await pastOf(pages(HISTORY), pod, ranges);
  return {
    held: held.filter(({ address, slot }) => !past.some((lifetime) => isSame(lifetime, address, slot))),
    past,
    ...rest,
  };
}

/** Filters pages of a scan: only records that contain the pod's name remain, so few are decoded. */
function pagesWith(
  ipam: Ipam,
  { name }: PodName,
  onPage: (n: number) => void,
): (prefix: string) => AsyncIterable<Entry[]> {
  let read = 0;
  const needle = JSON.stringify(name);
  return async function* (prefix) {
    for await (const page of ipam.store.scan(prefix)) {
      read += page.length;
      onPage(read);
      yield page.filter(({ value }) => value.includes(needle));
    }
  };
}

const isOf = (pod: PodName, { podNamespace, podName }: Pick<Owner, 'podNamespace' | 'podName'>): boolean =>
  podNamespace === pod.namespace && podName === pod.name;

const isSame = ({ address, owner, allocatedAt }: Lifetime, other: Address, slot: UsedSlot): boolean =>
  sameAddress(address, other) &&
  owner.containerId === slot.owner.containerId &&
  owner.ifname === slot.owner.ifname &&
  allocatedAt === slot.allocatedAt;

async function heldBy(
  pages: AsyncIterable<Entry[]>,
  pod: PodName,
  ranges: ReadonlyMap<string, Range>,
): Promise<HeldAddress[]> {
  const held: HeldAddress[] = [];
  for await (const page of pages) {
    for (const { key, value } of page) {
      const block = decodeBlock(key, value);
      for (const { address, slot } of usedSlots(block)) {
        if (!isOf(pod, slot.owner)) continue;
        const { node, cidr, range } = block;
        held.push({ address, node, block: cidr, range, vlan: ranges.get(range)?.vlan, slot });
      }
    }
  }
  return held;
}

async function pastOf(
  pages: AsyncIterable<Entry[]>,
  pod: PodName,
  ranges: ReadonlyMap<string, Range>,
): Promise<Omit<PodTrace, 'held'>> {
  const unreadable: string[] = [];
  let newest: { readonly lifetime: Lifetime; readonly revision: bigint }[] = [];
  let found = 0;
  for await (const page of pages) {
    for (const record of page) {
      const range = ranges.get(partsOfHistoryKey(record.key).range);
      if (!range) {
        unreadable.push(`etcd key '${record.key}' is of a range that etcd does not hold`);
        continue;
      }
      const read = readLifetimes(range, [record]);
      unreadable.push(...read.unreadable);
      for (const lifetime of read.lifetimes.filter(({ owner }) => isOf(pod, owner))) {
        newest.push({ lifetime, revision: BigInt(record.revision) });
        found++;
      }
    }
    if (newest.length > MAX_PAST) {
      newest = newest.sort((a, b) => (a.revision < b.revision ? 1 : -1)).slice(0, MAX_PAST);
    }
  }
  newest.sort((a, b) => (a.revision < b.revision ? 1 : -1));
  const past = newest.map(({ lifetime }) => lifetime);
  return { past, omitted: found - past.length, unreadable };
}
