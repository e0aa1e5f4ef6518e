import { cidrSpan } from '../model/address.ts';
import type { SlotCounts } from '../model/block-counts.ts';
import { capacityWithin, rangeCapacity, usableBlockTotal, type Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { BLOCKS, cidrOfBlockKey, rangeNameOfBlockKey } from '../records/keys.ts';
import type { UnreadableRecord } from '../records/unreadable.ts';
import { rangeNamed, readRanges, type RangeRecords } from '../store/ranges.ts';
import { readAgain } from '../store/store.ts';
import { scanBlocksOf, type BlockPage } from './views.ts';

/** The usage of a range. */
export interface RangeUsage {
  readonly range: Range;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  /** For pods that are gone and may come again. */
  readonly kept: number;
  /**
   * Capacity minus allocated and kept, and minus the addresses of blocks that cannot be read.
   * Cooling addresses count, because they are free soon.
   */
  readonly free: number;
  /** A block that cannot be read is claimed. */
  readonly blocks: { readonly total: number; readonly claimed: number };
}

export interface RangeUsages {
  /** Sorted by name. */
  readonly usages: readonly RangeUsage[];
  readonly unreadable: readonly UnreadableRecord[];
}

/** Reads every block of the cluster. @throws IpamError `store-…` */
export function listRangeUsage(ipam: Ipam): Promise<RangeUsages> {
  return readAgain(async () => {
    const known = await readRanges(ipam.store);
    const sums = new UsageSums(known.ranges);
    for await (const page of scanBlocksOf(ipam, known, {})) sums.add(page);
    return sums.result;
  });
}

/** The usage of ranges whose blocks were read. */
export function usageOf({ ranges }: RangeRecords, page: BlockPage): RangeUsages {
  const sums = new UsageSums(ranges);
  sums.add(page);
  return sums.result;
}

/**
 * Reads every block of one range.
 * @throws IpamError `not-found`, `corrupt-record` for the range's record, `store-…`
 */
export function readRangeUsage(
  ipam: Ipam,
  name: string,
): Promise<{ readonly usage: RangeUsage; readonly unreadable: readonly UnreadableRecord[] }> {
  return readAgain(async () => {
    const known = await readRanges(ipam.store);
    const found = rangeNamed(known, name);
    const sums = new UsageSums([found]);
    for await (const page of scanBlocksOf(ipam, known, { range: name })) sums.add(page);
    const { usages, unreadable } = sums.result;
    return { usage: usages[0] ?? unusedRange(found.range), unreadable };
  });
}

/** Adds blocks to the sums of their ranges, page by page. */
export class UsageSums {
  readonly #byName: ReadonlyMap<string, UsageSum>;
  readonly #unreadable: UnreadableRecord[] = [];

  constructor(ranges: readonly { readonly range: Range }[]) {
    this.#byName = new Map(ranges.map(({ range }) => [range.name, new UsageSum(range)]));
  }

  add({ blocks, unreadable }: BlockPage): void {
    for (const { block, counts } of blocks) this.#byName.get(block.range)?.add(counts);
    for (const record of unreadable) {
      this.#unreadable.push(record);
      if (record.key.startsWith(BLOCKS))
        this.#byName.get(rangeNameOfBlockKey(record.key))?.addUnreadable(record);
    }
  }

  get result(): RangeUsages {
    return { usages: [...this.#byName.values()].map(({ usage }) => usage), unreadable: this.#unreadable };
  }
}

/** Returns the usage of a range without a claimed block. */
export const unusedRange = (range: Range): RangeUsage => new UsageSum(range).usage;

/** Adds up the blocks of a range. */
class UsageSum {
  readonly range: Range;
  #used = 0;
  #cooling = 0;
  #kept = 0;
  #claimed = 0;
  /** Addresses of blocks that cannot be read. */
  #hidden = 0;

  constructor(range: Range) {
    this.range = range;
  }

  add({ used, cooling, kept }: Pick<SlotCounts, 'used' | 'cooling' | 'kept'>): void {
    this.#used += used;
    this.#cooling += cooling;
    this.#kept += kept;
    this.#claimed += 1;
  }

  addUnreadable({ key }: UnreadableRecord): void {
    const cidr = cidrOfBlockKey(key);
    if (!cidr) return;
    this.#claimed += 1;
    this.#hidden += capacityWithin(this.range, cidrSpan(cidr));
  }

  get usage(): RangeUsage {
    return rangeUsageOf(this.range, rangeCapacity(this.range), {
      ...{ used: this.#used, cooling: this.#cooling, kept: this.#kept, hidden: this.#hidden },
      blocks: { total: usableBlockTotal(this.range), claimed: this.#claimed },
    });
  }
}

/** The sums of a range's blocks. */
interface RangeSums extends Pick<SlotCounts, 'used' | 'cooling' | 'kept'> {
  /** Addresses of blocks that cannot be read. */
  readonly hidden: number;
  readonly blocks: RangeUsage['blocks'];
}

/** @param capacity how many addresses of the range pods can have */
export function rangeUsageOf(range: Range, capacity: number, sums: RangeSums): RangeUsage {
  const { used, cooling, kept, hidden, blocks } = sums;
  const free = Math.max(0, capacity - used - kept - hidden);
  return { range, capacity, allocated: used, cooling, kept, free, blocks };
}
