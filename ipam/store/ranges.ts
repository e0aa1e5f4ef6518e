import { cidrContains, formatAddress, formatCidr, type Address } from '../model/address.ts';
import { IpamError, remedyOf } from '../model/errors.ts';
import { didYouMean } from '../model/nearest.ts';
import type { Range } from '../model/range.ts';
import { rangeKey, RANGES } from '../records/keys.ts';
import { decodeRange } from '../records/range-record.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord, unreadableError, notCounted, type UnreadableRecord } from '../records/unreadable.ts';
import { scanAll, type Store } from './store.ts';

/** A range with the record that a guard compares. */
export interface RangeEntry {
  readonly range: Range;
  readonly entry: Entry;
}

/** Everything below `ranges/`. */
export interface RangeRecords {
  /** Sorted by name: the order in which IPAM uses them up. */
  readonly ranges: readonly RangeEntry[];
  /** Each may stand for a range, and nothing tells which addresses it covers. */
  readonly unreadable: readonly UnreadableRecord[];
}

/** Returns every range. A record that cannot be read does not stop the others. @throws `store-…` */
export async function readRanges(store: Store): Promise<RangeRecords> {
  return rangesIn(await scanAll(store, RANGES));
}

/** Decodes all records below `ranges/`. */
export function rangesIn(entries: readonly Entry[]): RangeRecords {
  const ranges: RangeEntry[] = [];
  const unreadable: UnreadableRecord[] = [];
  for (const entry of entries) {
    const read = readRecord(entry, decodeRange);
    if ('value' in read) ranges.push({ range: read.value, entry });
    else unreadable.push(read.unreadable);
  }
  return { ranges, unreadable };
}

/**
 * Returns the range that contains the address.
 * @throws IpamError `not-found`, which also names the range records that cannot be read
 */
export async function rangeOf(ipam: { readonly store: Store }, address: Address): Promise<Range> {
  const { ranges, unreadable } = await readRanges(ipam.store);
  const found = ranges.find(({ range }) => cidrContains(range.cidr, address));
  if (found) return found.range;
  const known = ranges.map(({ range }) => formatCidr(range.cidr)).join(', ') || 'none yet';
  throw new IpamError(
    'not-found',
    `${formatAddress(address)} is in no range: the ranges are ${known}${notCounted(unreadable)}`,
  );
}

/**
 * Returns the range as of the moment of the entry, which was read together with blocks: `range set`
 * may have changed both since the range was looked up.
 * @throws IpamError `corrupt-record`
 */
export const rangeAsOf = (range: Range, entry: Entry | undefined): Range =>
  entry ? decodeRange(entry.key, entry.value) : range;

/** @throws IpamError `not-found`; `corrupt-record` if the range's record cannot be read */
export async function findRange(ipam: { readonly store: Store }, name: string): Promise<RangeEntry> {
  return rangeNamed(await readRanges(ipam.store), name);
}

/** @throws IpamError `not-found`; `corrupt-record` if the range's record cannot be read */
export function rangeNamed(records: RangeRecords, name: string): RangeEntry {
  const found = rangeIfKnown(records, name);
  if (found) return found;
  const known = records.ranges.map(({ range }) => range.name);
  throw new IpamError(
    'not-found',
    `range '${name}' does not exist: there are ${known.join(', ') || 'none yet'}`,
    { remedy: `${didYouMean(name, known)}${remedyOf('not-found')}` },
  );
}

/** @throws IpamError `corrupt-record` if the range's record cannot be read */
export function rangeIfKnown({ ranges, unreadable }: RangeRecords, name: string): RangeEntry | undefined {
  const found = ranges.find(({ range }) => range.name === name);
  const broken = unreadable.find(({ key }) => key === rangeKey(name));
  if (!found && broken) throw unreadableError(broken);
  return found;
}
