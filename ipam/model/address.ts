import ipaddr from 'ipaddr.js';
import { invalid } from './errors.ts';

/**
 * IP version. A {@link Span} or {@link Cidr} holds one family: parsing a mixed one throws, and
 * containment and overlap are false between different families.
 */
export type Family = 4 | 6;

/** One IP address as a number, so that arithmetic is the same for both families. */
export interface Address {
  readonly family: Family;
  /** 0 … 2^32-1 (IPv4) or 2^128-1 (IPv6), network byte order. */
  readonly value: bigint;
}

/** A subnet without host bits: `base` is its first address. */
export interface Cidr {
  readonly base: Address;
  readonly prefixLength: number;
}

/** Consecutive addresses, both ends included. */
export interface Span {
  readonly first: Address;
  readonly last: Address;
}

export const familyBits = (family: Family): number => (family === 4 ? 32 : 128);
export const familyName = (family: Family): string => (family === 4 ? 'IPv4' : 'IPv6');

function fromBytes(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toBytes(address: Address): number[] {
  const length = familyBits(address.family) / 8;
  return Array.from({ length }, (_, i) => Number((address.value >> BigInt(8 * (length - 1 - i))) & 0xffn));
}

/**
 * Parses `10.20.0.17` or `fd00::11`. IPv4: four decimal numbers without leading zeros. IPv6: RFC
 * 4291 section 2.2 without zone.
 * @throws IpamError `invalid`
 */
export function parseAddress(text: string, what = 'address'): Address {
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) return { family: 4, value: BigInt(ipv4) };
  if (text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text)) {
    return { family: 6, value: fromBytes(ipaddr.IPv6.parse(text).toByteArray()) };
  }
  throw invalid(`${what} '${text}' is not an IP address: expected the form 10.20.0.17 or fd00:20::11`);
}

/**
 * Parses four decimal numbers without leading zeros. Returns undefined for anything else. It does
 * without ipaddr.js, which is much slower: every etcd key of a block holds an address. ipaddr.js
 * would also read `010.0.0.1` as octal and `10.1` as 10.0.0.1.
 */
export function parseIpv4(text: string): number | undefined {
  let value = 0;
  let part = -1;
  let parts = 1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      if (part < 0 || ++parts > 4) return undefined;
      value = value * 256 + part;
      part = -1;
    } else {
      if (code < 48 || code > 57 || part === 0) return undefined;
      part = Math.max(part, 0) * 10 + code - 48;
      if (part > 255) return undefined;
    }
  }
  return part < 0 || parts !== 4 ? undefined : value * 256 + part;
}

/** Dotted decimal, or the canonical text of RFC 5952. */
export function formatAddress(address: Address): string {
  if (address.family === 4) return formatIpv4(Number(address.value));
  const parsed = ipaddr.fromByteArray(toBytes(address));
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

/** The reverse of {@link parseIpv4}. */
function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function parsePrefixLength(text: string, family: Family, whole: string, what: string): number {
  const bits = familyBits(family);
  const length = /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : -1;
  if (length < 0 || length > bits) {
    throw invalid(`${what} '${whole}': prefix length '${text}' must be a whole number from 0 to ${bits}`);
  }
  return length;
}

/**
 * Parses `10.20.0.0/22`. Refuses host bits and names the subnet that was probably meant.
 * @throws IpamError `invalid`
 */
export function parseCidr(text: string, what = 'subnet'): Cidr {
  const { address, prefixLength } = parseAddressInSubnet(text, what);
  const cidr = subnetOf(address, prefixLength);
  if (cidr.base.value !== address.value) {
    throw invalid(`${what} '${text}' has host bits set: expected ${formatCidr(cidr)}`);
  }
  return cidr;
}

/** Parses `10.20.0.17/22`: an address with the prefix length of its subnet. Allows host bits. */
export function parseAddressInSubnet(
  text: string,
  what = 'address',
): { address: Address; prefixLength: number } {
  const parts = text.split('/');
  const [host, length] = parts;
  if (parts.length !== 2 || host === undefined || length === undefined) {
    throw invalid(
      `${what} '${text}' is not in CIDR notation: expected the form 10.20.0.0/22 or fd00:20::/64`,
    );
  }
  const address = parseAddress(host, what);
  return { address, prefixLength: parsePrefixLength(length, address.family, text, what) };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.base)}/${cidr.prefixLength}`;
}

/** Returns the subnet of that prefix length that contains the address. */
export function subnetOf(address: Address, prefixLength: number): Cidr {
  const hostBits = BigInt(familyBits(address.family) - prefixLength);
  return {
    base: { family: address.family, value: (address.value >> hostBits) << hostBits },
    prefixLength,
  };
}

/** Number of addresses in the subnet: 2^(32 or 128 - prefix length). */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(familyBits(cidr.base.family) - cidr.prefixLength);
}

export function cidrSpan(cidr: Cidr): Span {
  return { first: cidr.base, last: offsetAddress(cidr.base, cidrSize(cidr) - 1n) };
}

/**
 * Returns the address `offset` places further. The caller makes sure that the result fits the
 * family.
 */
export function offsetAddress(address: Address, offset: bigint): Address {
  return { family: address.family, value: address.value + offset };
}

/**
 * Returns the one spelling of an address in CIDR notation, so that texts can be compared: IPv6
 * addresses have many.
 * @throws IpamError `invalid`
 */
export function canonicalInSubnet(text: string): string {
  const { address, prefixLength } = parseAddressInSubnet(text);
  return `${formatAddress(address)}/${prefixLength}`;
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

/** Sort order: IPv4 before IPv6, then by number. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

export function spanContains(span: Span, address: Address): boolean {
  return (
    span.first.family === address.family &&
    span.first.value <= address.value &&
    address.value <= span.last.value
  );
}

export function spansOverlap(a: Span, b: Span): boolean {
  return spanContains(a, b.first) || spanContains(b, a.first);
}

/** Returns the addresses that both spans have; undefined if there are none. */
export function commonSpan(a: Span, b: Span): Span | undefined {
  if (!spansOverlap(a, b)) return undefined;
  return {
    first: a.first.value > b.first.value ? a.first : b.first,
    last: a.last.value < b.last.value ? a.last : b.last,
  };
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  return spanContains(cidrSpan(cidr), address);
}

/**
 * Parses `10.20.0.2`, `10.20.0.2-10.20.0.9` or `10.20.0.8/29` into the addresses that it covers.
 * @throws IpamError `invalid`
 */
export function parseSpan(text: string, what = 'addresses'): Span {
  if (text.includes('/')) return cidrSpan(parseCidr(text, what));
  const [from, to, ...rest] = text.split('-').map((part) => part.trim());
  if (from === undefined || rest.length > 0) {
    throw invalid(`${what} '${text}': expected the form 10.20.0.2, 10.20.0.2-10.20.0.9 or 10.20.0.8/29`);
  }
  const first = parseAddress(from, what);
  const last = to === undefined ? first : parseAddress(to, what);
  if (first.family !== last.family) throw invalid(`${what} '${text}' mixes IPv4 and IPv6`);
  if (last.value < first.value) {
    throw invalid(
      `${what} '${text}' runs backwards: expected ${formatAddress(last)}-${formatAddress(first)}`,
    );
  }
  return { first, last };
}

export function formatSpan(span: Span): string {
  const first = formatAddress(span.first);
  return sameAddress(span.first, span.last) ? first : `${first}-${formatAddress(span.last)}`;
}

/** Returns the spans sorted, with overlapping and adjacent ones joined, so that sizes add up. */
export function joinSpans(spans: readonly Span[]): Span[] {
  const sorted = [...spans].sort((a, b) => compareAddresses(a.first, b.first));
  const joined: Span[] = [];
  for (const span of sorted) {
    const last = joined.at(-1);
    if (last && last.first.family === span.first.family && span.first.value <= last.last.value + 1n) {
      if (span.last.value > last.last.value)
        joined[joined.length - 1] = { first: last.first, last: span.last };
    } else joined.push(span);
  }
  return joined;
}

/** Returns what of the spans lies in none of the others. */
export function subtractSpans(spans: readonly Span[], others: readonly Span[]): Span[] {
  return others.reduce<Span[]>((left, other) => left.flatMap((span) => without(span, other)), [...spans]);
}

function without(span: Span, other: Span): Span[] {
  const common = commonSpan(span, other);
  if (!common) return [span];
  const { first, last } = common;
  return [
    ...(span.first.value < first.value ? [{ first: span.first, last: offsetAddress(first, -1n) }] : []),
    ...(last.value < span.last.value ? [{ first: offsetAddress(last, 1n), last: span.last }] : []),
  ];
}

export function spanSize(span: Span): bigint {
  return span.last.value - span.first.value + 1n;
}
