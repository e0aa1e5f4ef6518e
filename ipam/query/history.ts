import { sameAddress, type Address, type Cidr } from '../model/address.ts';
import type { Lifetime } from '../model/lifetime.ts';
import { blockAt, type Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeLifetime, historyKeys } from '../records/history-record.ts';
import { blockKey, rangeKey } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import {
  readRecord,
  unreadableOf,
  valuesOf,
  type Read,
  type UnreadableRecord,
} from '../records/unreadable.ts';
import { rangeAsOf, rangeOf } from '../store/ranges.ts';
import { unknownAddress, viewAddress, type AddressView } from './views.ts';

/** The records of one address. */
export interface AddressHistory {
  /** The address as it is now. */
  readonly view: AddressView;
  /** The block of the address, claimed or not. */
  readonly block: Cidr;
  /** Past lifetimes, newest first. */
  readonly past: readonly Lifetime[];
  /** How many lifetimes its block keeps, counted over all of its addresses. */
  readonly kept: number;
  /**
   * Milliseconds since 1970. Some releases before this time may have been overwritten. Undefined if
   * none was, because the block keeps fewer records than it could.
   */
  readonly completeSince: number | undefined;
  /** Records that could not be read. They are reported and stop nothing. */
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Reads an address and its past owners as of one moment, so that no lifetime appears twice or is
 * missing between the two. If its block cannot be read, the state is `unknown`.
 * @throws IpamError `not-found` if no range contains it, `store-…`
 */
export async function readHistory(ipam: Ipam, address: Address): Promise<AddressHistory> {
  const found = await rangeOf(ipam, address);
  const block = blockAt(found, address);
  const keys = historyKeys(found, block);
  const both = [blockKey(found.name, block), rangeKey(found.name)];
  const [entry, rangeEntry, ...ring] = await ipam.store.get([...both, ...keys]);
  const range = rangeAsOf(found, rangeEntry);
  const records = newestFirst(
    ring.filter((each) => each !== undefined),
    keys,
  );
  const reads = readLifetimes(range, records);
  const lifetimes = valuesOf(reads);
  const view = viewAddress(range, address, entry, ipam.effects.now());
  return {
    block,
    view: 'value' in view ? view.value : unknownAddress(range, address),
    past: lifetimes.filter((lifetime) => sameAddress(lifetime.address, address)),
    kept: keys.length,
    completeSince: records.length === keys.length ? lifetimes.at(-1)?.releasedAt : undefined,
    unreadable: [...unreadableOf([view]), ...unreadableOf(reads)],
  };
}

/**
 * Sorts by revision, which no clock of a node can change. Records of one transaction are sorted by
 * their places in the ring.
 */
function newestFirst(entries: readonly Entry[], ring: readonly string[]): Entry[] {
  const ahead = (a: Entry, b: Entry): number =>
    (ring.indexOf(a.key) - ring.indexOf(b.key) + ring.length) % ring.length;
  return [...entries].sort((a, b) => {
    if (a.revision === b.revision) return ahead(a, b) < ring.length / 2 ? -1 : 1;
    return BigInt(a.revision) < BigInt(b.revision) ? 1 : -1;
  });
}

/** Decodes records of the range's history, of which no decision depends on any. */
export const readLifetimes = (range: Range, entries: readonly Entry[]): Read<Lifetime>[] =>
  entries.map((entry) => readRecord(entry, (key, value) => decodeLifetime(range, key, value)));
