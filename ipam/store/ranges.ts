import { cidrContains, formatAddress, formatCidr, type Address } from '../model/address.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { RANGES } from '../records/keys.ts';
import { decodeRange } from '../records/range-record.ts';
import type { Entry } from '../records/transaction.ts';
import { scanAll, type Store } from './store.ts';

/** A range with the record that a guard compares. */
export interface RangeEntry {
  readonly range: Range;
  readonly entry: Entry;
}

/**
 * Returns every range, sorted by name: the order in which IPAM uses them up.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function readRanges(store: Store): Promise<RangeEntry[]> {
  const entries = await scanAll(store, RANGES);
  return entries.map((entry) => ({ range: decodeRange(entry.key, entry.value), entry }));
}

/** Returns the range that contains the address. @throws IpamError `not-found` */
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
