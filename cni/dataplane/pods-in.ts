import { familyBits, spanContains, type Address } from '../../ipam/model/address.ts';
import type { RangePlace } from './range-flows.ts';
import type { IsPod } from './service-flows.ts';

/** Ranges of one prefix length, by their network's bits. */
interface Length {
  readonly family: Address['family'];
  readonly hostBits: bigint;
  readonly ranges: Map<bigint, RangePlace>;
}

/**
 * Returns a function that tells whether an address is in a range and given to pods. It takes one
 * look-up for each prefix length that ranges have: 550 ranges have few, and 50,000 endpoints ask.
 */
export function podsIn(ranges: readonly RangePlace[]): IsPod {
  const lengths = new Map<string, Length>();
  for (const range of ranges) {
    const { base, prefixLength } = range.cidr;
    const key = `${base.family}/${prefixLength}`;
    const hostBits = BigInt(familyBits(base.family) - prefixLength);
    const known = lengths.get(key) ?? {
      family: base.family,
      hostBits,
      ranges: new Map<bigint, RangePlace>(),
    };
    lengths.set(key, known);
    known.ranges.set(base.value >> hostBits, range);
  }
  const all = [...lengths.values()];
  return (address) => all.some((length) => isGiven(address, length));
}

function isGiven(address: Address, { family, hostBits, ranges }: Length): boolean {
  if (family !== address.family) return false;
  const range = ranges.get(address.value >> hostBits);
  if (!range || range.gateway?.value === address.value) return false;
  return !range.exclude.some((span) => spanContains(span, address));
}
