import {
  cidrSpan,
  compareAddresses,
  sameAddress,
  spanContains,
  type Address,
  type Cidr,
} from '../model/address.ts';
import { countSlots, type SlotCounts } from '../model/block-counts.ts';
import {
  isCooling,
  isKept,
  isOfNode,
  nodeOf,
  slotAddress,
  slotIndex,
  type Block,
  type Slot,
} from '../model/block.ts';
import type { Effects } from '../model/effects.ts';
import { blockAt, type Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey, BLOCKS, blocksOfRange, rangeKey } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord, unreadableError, type Read, type UnreadableRecord } from '../records/unreadable.ts';
import { blockReader, readAgainWithRange, type ClaimedBlock } from '../store/blocks.ts';
import { rangeAsOf, rangeNamed, rangeOf, readRanges, type RangeRecords } from '../store/ranges.ts';
import { readAgain, type Store } from '../store/store.ts';

/** A claimed block and how much of it is used. */
export interface BlockView extends ClaimedBlock {
  readonly counts: SlotCounts;
}

export interface BlockFilter {
  /** Holds the block, or has addresses of it. */
  readonly node?: string;
  readonly range?: string;
}

/** Some of the claimed blocks. */
export interface BlockPage {
  readonly blocks: readonly BlockView[];
  /** Records that cannot be read, also those of which nothing tells whether the filter fits. */
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Yields every claimed block as of one moment, page by page: nothing holds the whole cluster in
 * memory. The first page has the unreadable records below `ranges/`. Run it within `readAgain`.
 * @throws IpamError `not-found` for an unknown range name, `corrupt-record` for its record,
 *   `store-…`
 */
export async function* scanBlocks(ipam: Ipam, filter: BlockFilter = {}): AsyncIterable<BlockPage> {
  yield* scanBlocksOf(ipam, await readRanges(ipam.store), filter);
}

/** As {@link scanBlocks}, with the ranges as the caller has read them. */
export async function* scanBlocksOf(
  { store, effects }: { readonly store: Store; readonly effects: Pick<Effects, 'now'> },
  known: RangeRecords,
  { node, range: name }: BlockFilter,
): AsyncIterable<BlockPage> {
  if (name !== undefined) rangeNamed(known, name);
  else if (known.unreadable.length > 0) yield { blocks: [], unreadable: known.unreadable };
  const read = blockReader(known.ranges.map(({ range }) => range));
  const now = effects.now();
  for await (const page of store.scan(name === undefined ? BLOCKS : blocksOfRange(name))) {
    const blocks: BlockView[] = [];
    const unreadable: UnreadableRecord[] = [];
    for (const entry of page) {
      const first = read(entry);
      const each = 'unreadable' in first ? await readAgainWithRange(store, first.unreadable) : first;
      if ('unreadable' in each) unreadable.push(each.unreadable);
      else if (node === undefined || isOfNode(each.value.block, node)) {
        const { block, range } = each.value;
        blocks.push({ block, range, counts: countSlots(block, now, range?.cooldownMs ?? 0) });
      }
    }
    yield { blocks, unreadable };
  }
}

/** Returns all blocks, sorted by address. */
export function listBlocks(ipam: Ipam, filter: BlockFilter = {}): Promise<BlockPage> {
  return readAgain(async () => {
    const blocks: BlockView[] = [];
    const unreadable: UnreadableRecord[] = [];
    for await (const page of scanBlocks(ipam, filter)) {
      blocks.push(...page.blocks);
      unreadable.push(...page.unreadable);
    }
    blocks.sort((a, b) => compareAddresses(a.block.cidr.base, b.block.cidr.base));
    return { blocks, unreadable };
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
  /** `unknown`: the record of its block cannot be read. */
  readonly state: 'used' | 'cooling' | 'kept' | 'reserved' | 'free' | 'unknown';
  readonly slot: Slot | undefined;
  /** Only for a reserved address whose range exists. */
  readonly reservedAs?: Reservation | undefined;
}

/** Returns the used, kept, cooling and reserved addresses of a block; with `all`, also the free. */
export function addressesOf(view: BlockView, now: number, all = false): AddressView[] {
  const { block, range } = view;
  return block.slots.flatMap((slot, i) => {
    const state = stateOf(slot, now, range?.cooldownMs ?? 0);
    if (state === 'free' && !all) return [];
    const address = slotAddress(block, i);
    return [
      {
        address,
        range: block.range,
        block: block.cidr,
        node: nodeOfSlot(block, slot),
        state,
        slot,
        reservedAs: state === 'reserved' && range ? reservedAs(range, address) : undefined,
      },
    ];
  });
}

/** Returns the node of the attachment, else the block's. */
const nodeOfSlot = (block: Block, slot: Slot): string =>
  slot.state === 'used' ? nodeOf(block, slot) : block.node;

function stateOf(slot: Slot, now: number, cooldownMs: number): Exclude<AddressView['state'], 'unknown'> {
  if (isKept(slot, now)) return 'kept';
  if (slot.state === 'released' || slot.state === 'kept')
    return isCooling(slot, now, cooldownMs) ? 'cooling' : 'free';
  return slot.state;
}

/**
 * Returns one address, whatever its state.
 * @throws IpamError `not-found` if no range contains it, `corrupt-record` for its block, `store-…`
 */
export async function showAddress(ipam: Ipam, address: Address): Promise<AddressView> {
  const read = await readAddress(ipam, address);
  if ('unreadable' in read) throw unreadableError(read.unreadable);
  return read.value;
}

/**
 * As {@link showAddress}, for a caller that looks at several addresses.
 * @throws IpamError `not-found` if no range contains it, `store-…`
 */
export async function readAddress(ipam: Ipam, address: Address): Promise<Read<AddressView>> {
  const range = await rangeOf(ipam, address);
  const keys = [blockKey(range.name, blockAt(range, address)), rangeKey(range.name)];
  const [entry, rangeEntry] = await ipam.store.get(keys);
  return viewAddress(rangeAsOf(range, rangeEntry), address, entry, ipam.effects.now());
}

/** @param entry record of the address's block; undefined if no node has claimed it */
export function viewAddress(
  range: Range,
  address: Address,
  entry: Entry | undefined,
  now: number,
): Read<AddressView> {
  const reserved = reservedAs(range, address);
  if (!entry) {
    const nobody = { block: undefined, node: undefined, slot: undefined };
    const state = reserved ? 'reserved' : 'free';
    return { value: { address, range: range.name, ...nobody, state, reservedAs: reserved } };
  }
  const read = readRecord(entry, decodeBlockOf(range));
  if ('unreadable' in read) return read;
  const { cidr, slots } = read.value;
  const slot = slots[slotIndex(read.value, address)] ?? { state: 'free' };
  const state = stateOf(slot, now, range.cooldownMs);
  return {
    value: {
      address,
      range: range.name,
      block: cidr,
      node: nodeOfSlot(read.value, slot),
      state,
      slot,
      reservedAs: state === 'reserved' ? reserved : undefined,
    },
  };
}

/** Returns an address of a block that cannot be read. */
export const unknownAddress = (range: Range, address: Address): AddressView => ({
  address,
  range: range.name,
  block: blockAt(range, address),
  node: undefined,
  state: 'unknown',
  slot: undefined,
});
