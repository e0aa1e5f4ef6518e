import { familyBits, spanContains, type Address } from '../../ipam/model/address.ts';
import type { RangePlace } from './range-flows.ts';

/** Ranges of one prefix length, by their network's bits. */
interface Length {
  readonly family: Address['family'];
  readonly hostBits: bigint;
  readonly ranges: Map<bigint, RangePlace>;
}

/** Finds ranges. An immutable value. */
export class RangeMap {
  readonly #lengths: readonly Length[];
  readonly #vlansOfIpv4: ReadonlySet<number | undefined>;

  constructor(ranges: readonly RangePlace[]) {
    const lengths = new Map<string, Length>();
    for (const range of ranges) {
      const { base, prefixLength } = range.cidr;
      const key = `${base.family}/${prefixLength}`;
      const hostBits = BigInt(familyBits(base.family) - prefixLength);
      const known = lengths.get(key) ?? { family: base.family, hostBits, ranges: new Map() };
      lengths.set(key, known);
      known.ranges.set(base.value >> hostBits, range);
    }
    this.#lengths = [...lengths.values()];
    this.#vlansOfIpv4 = new Set(ranges.filter(({ cidr }) => cidr.base.family === 4).map(({ vlan }) => vlan));
  }

  /**
   * Returns the range that gives the address to pods; undefined if none does. It takes one look-up
   * for each prefix length that ranges have: 550 ranges have few, and 50,000 endpoints ask.
   */
  at(address: Address): RangePlace | undefined {
    for (const length of this.#lengths) {
      const range = given(address, length);
      if (range) return range;
    }
    return undefined;
  }

  /** Whether pods on the VLAN may have IPv4 addresses. */
  hasIpv4(vlan: number | undefined): boolean {
    return this.#vlansOfIpv4.has(vlan);
  }
}

function given(address: Address, { family, hostBits, ranges }: Length): RangePlace | undefined {
  if (family !== address.family) return undefined;
  const range = ranges.get(address.value >> hostBits);
  if (!range || range.gateway?.value === address.value) return undefined;
  return range.exclude.some((span) => spanContains(span, address)) ? undefined : range;
}
