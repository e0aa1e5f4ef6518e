import { sameAddress, type Address, type Cidr } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { nodeOf, usedSlots, type UsedSlot } from '../model/block.ts';
import type { Lifetime } from '../model/lifetime.ts';
import { hasFormerRoutes, type Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { partsOfHistoryKey } from '../records/history-record.ts';
import { BLOCKS, HISTORY } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { unreadableOf, valuesOf, type UnreadableRecord } from '../records/unreadable.ts';
import { blockReader, readAgainWithRange } from '../store/blocks.ts';
import { readRanges } from '../store/ranges.ts';
import { readAgain, type Store } from '../store/store.ts';
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
  /** Whether gateway or routes of the range were changed since: the pod has the former ones. */
  readonly hasFormerRoutes: boolean;
  readonly slot: UsedSlot;
}

/** What etcd knows of the pods with one name, whatever their UIDs. */
export interface PodTrace {
  readonly held: readonly HeldAddress[];
  /** Newest first, at most {@link MAX_PAST}. */
  readonly past: readonly Lifetime[];
  /** Number of further past lifetimes, all of them older. */
  readonly omitted: number;
  /**
   * Records of ranges and blocks that could not be read, and those records of the history that name
   * the pod.
   */
  readonly unreadable: readonly UnreadableRecord[];
}

/** How many past lifetimes of a pod the trace contains. */
export const MAX_PAST = 100;

/**
 * Traces a pod in etcd by its name. It reads every block and the whole history, page by page: for
 * an operator, not for an ADD. It holds no more in memory than a page and its findings.
 * @param onPage receives the number of records read so far
 * @throws IpamError `store-…`
 */
export async function tracePod(ipam: Ipam, pod: PodName, onPage: (n: number) => void): Promise<PodTrace> {
  const known = await readRanges(ipam.store);
  const ranges = known.ranges.map(({ range }) => range);
  const pages = countedPages(ipam, onPage);
  // Blocks first: a concurrently released address is then seen twice instead of missed.
  const now = await readAgain(() => heldBy(ipam.store, pages(BLOCKS), pod, ranges));
  const { past, omitted, unreadable } = await readAgain(() => pastOf(pages(HISTORY), pod, ranges));
  return {
    held: now.held.filter(({ address, slot }) => !past.some((lifetime) => isSame(lifetime, address, slot))),
    past,
    omitted,
    unreadable: [...known.unreadable, ...now.unreadable, ...unreadable],
  };
}

/** Returns scans that tell how many records they have read together. */
function countedPages(ipam: Ipam, onPage: (n: number) => void): (prefix: string) => AsyncIterable<Entry[]> {
  let read = 0;
  return async function* (prefix) {
    for await (const page of ipam.store.scan(prefix)) {
      read += page.length;
      onPage(read);
      yield page;
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
  store: Store,
  pages: AsyncIterable<Entry[]>,
  pod: PodName,
  ranges: readonly Range[],
): Promise<{ readonly held: HeldAddress[]; readonly unreadable: UnreadableRecord[] }> {
  const held: HeldAddress[] = [];
  const unreadable: UnreadableRecord[] = [];
  const read = blockReader(ranges);
  for await (const page of pages) {
    for (const entry of page) {
      const first = read(entry);
      const each = 'unreadable' in first ? await readAgainWithRange(store, first.unreadable) : first;
      if ('unreadable' in each) {
        unreadable.push(each.unreadable);
        continue;
      }
      const { block, range } = each.value;
      for (const { address, slot } of usedSlots(block, ({ owner }) => isOf(pod, owner)))
        held.push({
          address,
          node: nodeOf(block, slot),
          block: block.cidr,
          range: block.range,
          vlan: range?.vlan,
          hasFormerRoutes: range !== undefined && hasFormerRoutes(range, slot.allocatedAt),
          slot,
        });
    }
  }
  return { held, unreadable };
}

/** Decodes only records that contain the pod's name, because the history is long. */
async function pastOf(
  pages: AsyncIterable<Entry[]>,
  pod: PodName,
  ranges: readonly Range[],
): Promise<Omit<PodTrace, 'held'>> {
  const byName = new Map(ranges.map((range) => [range.name, range]));
  const needle = JSON.stringify(pod.name);
  const unreadable: UnreadableRecord[] = [];
  let newest: { readonly lifetime: Lifetime; readonly revision: bigint }[] = [];
  let found = 0;
  for await (const page of pages) {
    for (const record of page.filter(({ value }) => value.includes(needle))) {
      const range = byName.get(partsOfHistoryKey(record.key).range);
      if (!range) {
        const { key } = record;
        unreadable.push({ key, reason: `etcd key '${key}' is of a range that etcd does not hold` });
        continue;
      }
      const reads = readLifetimes(range, [record]);
      unreadable.push(...unreadableOf(reads));
      for (const lifetime of valuesOf(reads).filter(({ owner }) => isOf(pod, owner))) {
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
