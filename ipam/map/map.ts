import { cidrSize, cidrSpan, formatCidr, offsetAddress, type Address, type Cidr } from '../model/address.ts';
import { nodeOf, slotAddress, slotIndex, type Block, type Slot } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import {
  blockAt,
  blockPrefixLength,
  blockTotal,
  capacityWithin,
  rangeCapacity,
  reservation,
  usableBlockTotal,
  type Range,
} from '../model/range.ts';
import { reservedAs, type Reservation } from '../query/views.ts';
import {
  blockCounts,
  cellOf,
  cellsOf,
  countCells,
  NO_CELLS,
  type CellCounts,
  type CellState,
} from './cells.ts';
import { blockOfAddress, rangeOfAddress, type MapSource } from './source.ts';

export { mapSource, type MapSource } from './source.ts';

/** A range as a whole. */
export interface RangeOverview {
  readonly range: Range;
  /** How many addresses pods can have. */
  readonly capacity: number;
  /** Of all addresses of the range, also of blocks that nobody has claimed. */
  readonly counts: CellCounts;
  /** A block that cannot be read is claimed. `total`: those with an address that a pod can have. */
  readonly blocks: { readonly total: number; readonly claimed: number };
  /** How many nodes and rules hold blocks. */
  readonly holders: number;
}

/** A block as a row of cells. */
export interface BlockRow {
  readonly cidr: Cidr;
  /** A node, or `rule:NAME`; undefined: nobody, or its record cannot be read. */
  readonly holder: string | undefined;
  readonly claimedAt?: number;
  readonly cells: readonly CellState[];
  readonly counts: CellCounts;
  /** Undefined: nobody has claimed it, or its record cannot be read. */
  readonly block: Block | undefined;
}

export interface BlockRows {
  /** Sorted by address. */
  readonly rows: readonly BlockRow[];
  /** How many further blocks nobody has claimed: a range with too many shows only claimed ones. */
  readonly hidden: number;
}

/** One address. */
export interface AddressCell {
  readonly address: Address;
  readonly range: Range;
  readonly cidr: Cidr;
  readonly state: CellState;
  /** Holder of its block, as in {@link BlockRow}. */
  readonly holder: string | undefined;
  /** Node of the attachment, where there is one. */
  readonly node: string | undefined;
  readonly slot: Slot | undefined;
  readonly block: Block | undefined;
  readonly reservedAs: Reservation | undefined;
}

/** A range with more blocks than this shows the claimed ones only. */
export const MOST_BLOCKS = 4_096;

interface Fixed {
  readonly capacity: number;
  readonly size: number;
  readonly total: number;
}

/** Ranges are immutable. The sums of reserved spans cost more than all else of an overview. */
const fixed = new WeakMap<Range, Fixed>();

function fixedOf(range: Range): Fixed {
  const known = fixed.get(range);
  if (known) return known;
  const size = Number(cidrSize(range.cidr));
  const made = { capacity: rangeCapacity(range), size, total: usableBlockTotal(range) };
  fixed.set(range, made);
  return made;
}

/** Returns all ranges, sorted by name. */
export const overviewOf = (source: MapSource, now: number): RangeOverview[] =>
  source.ranges.map((range) => overviewOfRange(source, range, now));

export function overviewOfRange(source: MapSource, range: Range, now: number): RangeOverview {
  const { capacity, size, total } = fixedOf(range);
  const blocks = source.blocksOf(range.name);
  const unreadable = source.unreadableOf(range.name);
  const counts: Record<CellState, number> = { ...NO_CELLS, reserved: size - capacity };
  const holders = new Set<string>();
  for (const block of blocks) {
    const { used, cooling, kept, conflict } = blockCounts(block, now, range.cooldownMs);
    counts.used += used;
    counts.cooling += cooling;
    counts.kept += kept;
    counts.conflict += conflict;
    holders.add(block.node);
  }
  for (const cidr of unreadable) counts.unknown += capacityWithin(range, cidrSpan(cidr));
  const taken = counts.used + counts.cooling + counts.kept + counts.conflict + counts.unknown;
  counts.free = Math.max(0, capacity - taken);
  const claimed = blocks.length + unreadable.length;
  return { range, capacity, counts, blocks: { total, claimed }, holders: holders.size };
}

/** Returns the blocks of a range, also those that nobody has claimed; undefined: no such range. */
export function blockRows(source: MapSource, name: string, now: number): BlockRows | undefined {
  const range = source.ranges.find((each) => each.name === name);
  if (!range) return undefined;
  const row = rowMaker(range, now);
  const rows = new Map<string, BlockRow>();
  for (const block of source.blocksOf(name)) rows.set(formatCidr(block.cidr), row(block.cidr, block));
  for (const cidr of source.unreadableOf(name)) rows.set(formatCidr(cidr), row(cidr, 'unreadable'));
  const total = blockTotal(range);
  if (total > BigInt(MOST_BLOCKS)) {
    const hidden = Math.max(0, Number(total) - rows.size);
    return { rows: [...rows.values()].sort(byAddress), hidden };
  }
  for (let index = 0n; index < total; index++) {
    const base = offsetAddress(range.cidr.base, index * BigInt(range.blockSize));
    const cidr = { base, prefixLength: blockPrefixLength(range) };
    const text = formatCidr(cidr);
    if (!rows.has(text)) rows.set(text, row(cidr, undefined));
  }
  return { rows: [...rows.values()].sort(byAddress), hidden: 0 };
}

function rowMaker(
  range: Range,
  now: number,
): (cidr: Cidr, block: Block | 'unreadable' | undefined) => BlockRow {
  const isReserved = reservation(range);
  return (cidr, block) => {
    if (typeof block === 'object') {
      const cells = cellsOf(block, now, range.cooldownMs);
      const counts = blockCounts(block, now, range.cooldownMs);
      return { cidr, holder: block.node, claimedAt: block.claimedAt, cells, counts, block };
    }
    const otherwise = block === 'unreadable' ? 'unknown' : 'free';
    const cells = Array.from({ length: range.blockSize }, (_, i): CellState => {
      return isReserved(offsetAddress(cidr.base, BigInt(i))) ? 'reserved' : otherwise;
    });
    return { cidr, holder: undefined, cells, counts: countCells(cells), block: undefined };
  };
}

const byAddress = (a: BlockRow, b: BlockRow): number => {
  const [one, other] = [a.cidr.base.value, b.cidr.base.value];
  return one < other ? -1 : one > other ? 1 : 0;
};

/** Returns one address as it is now; undefined: it is of no range. */
export function addressAt(source: MapSource, address: Address, now: number): AddressCell | undefined {
  const range = rangeOfAddress(source, address);
  if (!range) return undefined;
  const cidr = blockAt(range, address);
  const about = { address, range, cidr, reservedAs: reservedAs(range, address) };
  const block = blockOfAddress(source, range.name, address);
  if (!block) {
    const nobody = { holder: undefined, node: undefined, slot: undefined, block: undefined };
    const isHidden = source.unreadableOf(range.name).some((each) => formatCidr(each) === formatCidr(cidr));
    const state = about.reservedAs ? 'reserved' : isHidden ? 'unknown' : 'free';
    return { ...about, ...nobody, state };
  }
  const slot = block.slots[slotIndex(block, address)] ?? { state: 'free' };
  const state = cellOf(slot, now, range.cooldownMs);
  const of = slot.state === 'used' ? nodeOf(block, slot) : undefined;
  const node = of !== undefined && ruleOf({ node: of }) === undefined ? of : undefined;
  return { ...about, state, holder: block.node, node, slot, block };
}

/** Returns the addresses of a block, in order, as far as they are of its range. */
export function addressesOfBlock(source: MapSource, block: Block, now: number): AddressCell[] {
  return block.slots.flatMap((_, index) => addressAt(source, slotAddress(block, index), now) ?? []);
}
