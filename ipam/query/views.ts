import {
  cidrSpan,
  compareAddresses,
  formatAddress,
  sameAddress,
  spanContains,
  type Address,
  type Cidr,
} from '../model/address.ts';
import { countSlots, type SlotCounts } from '../model/block-counts.ts';
import { isCooling, slotAddress, slotIndex, type Block, type Slot } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { blockAt, rangeCapacity, usableBlockTotal, type Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, BLOCKS, blocksOfRange } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { noSuchRange, rangeOf, readRanges } from '../store/ranges.ts';

/** A claimed block with its range; undefined if the range is gone, which `check` reports. */
export interface BlockView {
  readonly block: Block;
  readonly range: Range | undefined;
  readonly counts: SlotCounts;
}

export interface BlockFilter {
  readonly node?: string;
  readonly range?: string;
}

/**
 * Yields every claimed block as of one moment, page by page: nothing holds the whole cluster in
 * memory.
 * @throws IpamError `not-found` for an unknown range name, `corrupt-record`, `store-…`
 */
export async function* scanBlocks(ipam: Ipam, filter: BlockFilter = {}): AsyncIterable<BlockView[]> {
  const ranges = new Map((await readRanges(ipam.store)).map(({ range }) => [range.name, range]));
  if (filter.range !== undefined && !ranges.has(filter.range))
    throw noSuchRange(filter.range, [...ranges.keys()]);
  const prefix = filter.range === undefined ? BLOCKS : blocksOfRange(filter.range);
  const now = ipam.effects.now();
  for await (const page of ipam.store.scan(prefix)) {
    yield page
      .map((entry) => decodeBlock(entry.key, entry.value))
      .filter((block) => filter.node === undefined || block.node === filter.node)
      .map((block) => {
        const range = ranges.get(block.range);
        return { block, range, counts: countSlots(block, now, range?.cooldownMs ?? 0) };
      });
  }
}

/** Returns all blocks, sorted by address. */
export async function listBlocks(ipam: Ipam, filter: BlockFilter = {}): Promise<BlockView[]> {
  const views: BlockView[] = [];
  for await (const page of scanBlocks(ipam, filter)) views.push(...page);
  return views.sort((a, b) => compareAddresses(a.block.cidr.base, b.block.cidr.base));
}

/** The usage of a range. */
export interface RangeUsage {
  readonly range: Range;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  /** Capacity minus allocated: cooling addresses are free soon. */
  readonly free: number;
  readonly blocks: { readonly total: number; readonly claimed: number };
}

export async function listRangeUsage(ipam: Ipam): Promise<RangeUsage[]> {
  const ranges = (await readRanges(ipam.store)).map(({ range }) => range);
  const sums = new Map(ranges.map((range) => [range.name, { used: 0, cooling: 0, claimed: 0 }]));
  for await (const page of scanBlocks(ipam)) {
    for (const { block, counts } of page) {
      const sum = sums.get(block.range);
      if (!sum) continue;
      sum.used += counts.used;
      sum.cooling += counts.cooling;
      sum.claimed += 1;
    }
  }
  return ranges.map((range) => {
    const { used, cooling, claimed } = sums.get(range.name) ?? { used: 0, cooling: 0, claimed: 0 };
    const capacity = rangeCapacity(range);
    return {
      range,
      capacity,
      allocated: used,
      cooling,
      free: capacity - used,
      blocks: { total: usableBlockTotal(range), claimed },
    };
  });
}

/**
 * Why pods never get an address. `anycast` is the Subnet-Router address of an IPv6 range (RFC 4291
 * section 2.6.1).
 */
export type Reservation = 'network' | 'anycast' | 'broadcast' | 'gateway' | 'next-hop' | 'excluded';

/** Returns the first reservation that applies, or undefined if pods may have the address. */
export function reservedAs(range: Range, address: Address): Reservation | undefined {
  const { first, last } = cidrSpan(range.cidr);
  const isIt = (other: Address | undefined): boolean => other !== undefined && sameAddress(other, address);
  if (isIt(first)) return first.family === 4 ? 'network' : 'anycast';
  if (first.family === 4 && isIt(last)) return 'broadcast';
  if (isIt(range.gateway)) return 'gateway';
  if (range.routes.some(({ via }) => isIt(via))) return 'next-hop';
  return range.exclude.some((span) => spanContains(span, address)) ? 'excluded' : undefined;
}

/** One address as `ip list` shows it. */
export interface AddressView {
  readonly address: Address;
  readonly range: string;
  readonly block: Cidr | undefined;
  readonly node: string | undefined;
  readonly state: 'used' | 'cooling' | 'reserved' | 'free';
  readonly slot: Slot | undefined;
  /** Only for a reserved address whose range exists. */
  readonly reservedAs?: Reservation | undefined;
}

/** Returns the used, cooling and reserved addresses of a block. */
export function addressesOf(view: BlockView, now: number): AddressView[] {
  const { block, range } = view;
  return block.slots.flatMap((slot, i) => {
    const state = stateOf(slot, now, range?.cooldownMs ?? 0);
    if (state === 'free') return [];
    const address = slotAddress(block, i);
    return [
      {
        address,
        range: block.range,
        block: block.cidr,
        node: block.node,
        state,
        slot,
        reservedAs: state === 'reserved' && range ? reservedAs(range, address) : undefined,
      },
    ];
  });
}

function stateOf(slot: Slot, now: number, cooldownMs: number): AddressView['state'] {
  if (slot.state === 'released') return isCooling(slot, now, cooldownMs) ? 'cooling' : 'free';
  return slot.state;
}

/**
 * Returns one address, whatever its state.
 * @throws IpamError `not-found` if no range contains it, `corrupt-record`, `store-…`
 */
export async function showAddress(ipam: Ipam, address: Address): Promise<AddressView> {
  const range = await rangeOf(ipam, address);
  const [entry] = await ipam.store.get([blockKey(range.name, blockAt(range, address))]);
  return viewAddress(range, address, entry, ipam.effects.now());
}

/**
 * @param entry record of the address's block; undefined if no node has claimed it
 * @throws IpamError `corrupt-record`
 */
export function viewAddress(
  range: Range,
  address: Address,
  entry: Entry | undefined,
  now: number,
): AddressView {
  const reserved = reservedAs(range, address);
  if (!entry) {
    return {
      address,
      range: range.name,
      block: undefined,
      node: undefined,
      state: reserved ? 'reserved' : 'free',
      slot: undefined,
      reservedAs: reserved,
    };
  }
  const block = decodeBlock(entry.key, entry.value);
  const slot = block.slots[slotIndex(block, address)];
  if (!slot)
    throw new IpamError(
      'corrupt-record',
      `etcd key '${entry.key}' has no slot for ${formatAddress(address)}`,
    );
  const state = stateOf(slot, now, range.cooldownMs);
  return {
    address,
    range: range.name,
    block: block.cidr,
    node: block.node,
    state,
    slot,
    reservedAs: state === 'reserved' ? reserved : undefined,
  };
}
