import { cidrContains, formatAddress, formatCidr, type Address } from '../model/address.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { RANGES } from '../records/keys.ts';
import { decodeRange } from '../records/range-record.ts';
import type { Entry } from '../records/transaction.ts';
import { scanAll, type Store } from './store.ts';

/** A range with what a guard compares. */
export interface RangeEntry {
  readonly range: Range;
  readonly entry: Entry;
}

/** Every range, in the order in which they are used up: by name. @throws IpamError `corrupt-record`, `store-…` */
export async function readRanges(store: Store): Promise<RangeEntry[]> {
  const entries = await scanAll(store, RANGES);
  return entries.map((entry) => ({ range: decodeRange(entry.key, entry.value), entry }));
}

/** The range that holds the address. @throws IpamError `not-found` */
export async function rangeOf(ipam: { readonly store: Store }, address: Address): Promise<Range> {
  const ranges = (await readRanges(ipam.store)).map(({ range }) => range);
  const range = ranges.find((each) => cidrContains(each.cidr, address));
  if (range) return range;
  const known = ranges.map((each) => formatCidr(each.cidr)).join(', ') || 'none yet';
  throw new IpamError('not-found', `${formatAddress(address)} is in no range: the ranges are ${known}`);
}

/** @throws IpamError `not-found` */
export async function findRange(ipam: { readonly store: Store }, name: string): Promise<RangeEntry> {
  const ranges = await readRanges(ipam.store);
  const found = ranges.find((each) => each.range.name === name);
  if (found) return found;
  throw noSuchRange(
    name,
    ranges.map((each) => each.range.name),
  );
}

export function noSuchRange(name: string, known: readonly string[]): IpamError {
  return new IpamError(
    'not-found',
    `range '${name}' does not exist: there are ${known.join(', ') || 'none yet'}`,
  );
}
