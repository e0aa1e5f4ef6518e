import {
  cidrSpan,
  formatAddress,
  joinSpans,
  parseAddress,
  parseIpv4,
  type Address,
  type Cidr,
  type Span,
} from '../model/address.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';

/**
 * An address as a key of maps: IPv4 as a number, IPv6 as a bigint. The two are never equal as keys.
 * The audit looks up the addresses of all pods by it.
 */
export type AddressKey = number | bigint;

export const addressKeyOf = ({ family, value }: Address): AddressKey =>
  family === 4 ? Number(value) : value;

/** Returns the key of an address text. @throws IpamError `invalid` if it is no IP address */
export function parseAddressKey(text: string): AddressKey {
  return parseIpv4(text) ?? addressKeyOf(parseAddress(text));
}

interface Stretch {
  readonly first: AddressKey;
  readonly last: AddressKey;
}

const stretchOf = ({ first, last }: Span): Stretch => ({
  first: addressKeyOf(first),
  last: addressKeyOf(last),
});

/** Finds, in logarithmic time, which of stretches that do not overlap contains an address. */
class StretchFinder<T extends Stretch> {
  readonly #stretches: readonly T[];

  constructor(stretches: readonly T[]) {
    this.#stretches = [...stretches].sort((a, b) => compare(a.first, b.first));
  }

  find(place: AddressKey): T | undefined {
    let low = 0;
    let high = this.#stretches.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const stretch = this.#stretches[middle];
      if (!stretch) return undefined;
      if (compare(place, stretch.first) < 0) high = middle - 1;
      else if (compare(place, stretch.last) > 0) low = middle + 1;
      else return stretch;
    }
    return undefined;
  }
}

/** Finds the range that contains an address. Ranges do not overlap. */
export class RangeFinder {
  readonly #finder: StretchFinder<Stretch & { readonly range: Range }>;

  constructor(ranges: readonly Range[]) {
    this.#finder = new StretchFinder(ranges.map((range) => ({ ...stretchOf(cidrSpan(range.cidr)), range })));
  }

  find(place: AddressKey): Range | undefined {
    return this.#finder.find(place)?.range;
  }
}

/** A set of addresses, given as subnets. They may overlap. */
export class SubnetSet {
  readonly #finder: StretchFinder<Stretch>;

  constructor(subnets: readonly Cidr[]) {
    this.#finder = new StretchFinder(joinSpans(subnets.map(cidrSpan)).map(stretchOf));
  }

  has(place: AddressKey): boolean {
    return this.#finder.find(place) !== undefined;
  }
}

/** Sorts IPv4 before IPv6, even if the numbers are equal (`::a14:1` is not 10.20.0.1). */
function compare(a: AddressKey, b: AddressKey): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Returns the first address of the block of that size that contains the address.
 * @param blockSize a power of two
 */
export function blockBase(place: AddressKey, blockSize: number): AddressKey {
  return typeof place === 'number' ? place - (place % blockSize) : place - (place % BigInt(blockSize));
}

/**
 * Parses an address of a pod as the API server writes it.
 * @throws IpamError `invalid`, saying that the API server named it
 */
export function parsePodIp(text: string): AddressKey {
  try {
    return parseAddressKey(text);
  } catch (cause) {
    throw new IpamError(
      'invalid',
      `the API server names an address '${text}' of a pod: expected an IP address`,
      { cause },
    );
  }
}

/**
 * Returns the canonical text of a pod's address, so that texts can be compared.
 * @throws IpamError `invalid`, saying that the API server named it
 */
export function canonicalIp(text: string): string {
  return parseIpv4(text) === undefined ? formatAddressKey(parsePodIp(text)) : text;
}

const formatAddressKey = (place: AddressKey): string =>
  formatAddress({ family: typeof place === 'number' ? 4 : 6, value: BigInt(place) });
