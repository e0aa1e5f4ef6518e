import {
  cidrSize,
  cidrSpan,
  commonSpan,
  familyBits,
  formatCidr,
  joinSpans,
  offsetAddress,
  spanContains,
  spanSize,
  subnetOf,
  type Address,
  type Cidr,
  type Family,
  type Span,
} from './address.ts';
import type { UnknownFields } from './unknown-fields.ts';

/** A route that pods of the range get in addition to the default route. */
export interface Route {
  readonly destination: Cidr;
  /** Next hop: as the range's gateway. Absent: that gateway. */
  readonly via?: Address;
  readonly unknownFields?: UnknownFields;
}

/** `draining`: existing allocations stay, IPAM makes no new ones. */
export type RangeState = 'active' | 'draining';

/** A subnet from the network department, with the settings that pods on it need. */
export interface Range {
  readonly name: string;
  readonly cidr: Cidr;
  /** On the range's own subnet, or link-local in IPv6. Absent: pods get no default route. */
  readonly gateway?: Address;
  /** 802.1Q VLAN ID of the port's access VLAN, 1 to 4094; absent: untagged. */
  readonly vlan?: number;
  /** Addresses that pods never get, in addition to network, broadcast and gateway address. */
  readonly exclude: readonly Span[];
  readonly routes: readonly Route[];
  /** Addresses in a block: a power of two, fixed when the range is added. */
  readonly blockSize: number;
  /** How long a released address rests before it is assigned again, in milliseconds. */
  readonly cooldownMs: number;
  readonly state: RangeState;
  /** Only a rule, or a network whose `ipam.ranges` names the range, draws from it. */
  readonly namedOnly?: true;
  /**
   * When gateway or routes were last changed, in milliseconds since 1970: pods that are older have
   * the former ones. Absent: never.
   */
  readonly routesChangedAt?: number;
  readonly unknownFields?: UnknownFields;
}

/** Returns the prefix length of the range's blocks: /28 or /124 for 16 addresses. */
export function blockPrefixLength(range: Pick<Range, 'cidr' | 'blockSize'>): number {
  return familyBits(range.cidr.base.family) - Math.log2(range.blockSize);
}

/** Returns the block of the range that contains the address, aligned to the block size. */
export function blockAt(range: Range, address: Address): Cidr {
  return subnetOf(address, blockPrefixLength(range));
}

export function blockTotal(range: Range): bigint {
  return cidrSize(range.cidr) / BigInt(range.blockSize);
}

/** Returns the addresses to which pods of the range send by their routes. */
export function nextHops({ gateway, routes }: Pick<Range, 'gateway' | 'routes'>): Address[] {
  return [gateway, ...routes.map(({ via }) => via)].flatMap((hop) => hop ?? []);
}

/** Whether an address was assigned before gateway or routes of its range were last changed. */
export const hasFormerRoutes = (
  { routesChangedAt }: Pick<Range, 'routesChangedAt'>,
  allocatedAt: number,
): boolean => routesChangedAt !== undefined && allocatedAt < routesChangedAt;

/**
 * Returns the addresses that no pod gets, sorted and joined: the network address and, for IPv4, the
 * broadcast address (for IPv6 the first address is the Subnet-Router anycast address, RFC 4291
 * section 2.6.1), the gateway, every next hop of a route, and the exclusions.
 */
export function reservedSpans(range: Range): Span[] {
  const whole = cidrSpan(range.cidr);
  const { first, last } = whole;
  const single = (address: Address): Span => ({ first: address, last: address });
  const hops = nextHops(range)
    // A link-local next hop is none of the range's addresses.
    .filter((hop) => spanContains(whole, hop))
    .map(single);
  return joinSpans([single(first), ...(first.family === 4 ? [single(last)] : []), ...hops, ...range.exclude]);
}

/** Returns a test for reserved addresses. It computes the spans once. */
export function reservation(range: Range): (address: Address) => boolean {
  const spans = reservedSpans(range);
  return (address) => spans.some((span) => spanContains(span, address));
}

export function isReserved(range: Range, address: Address): boolean {
  return reservation(range)(address);
}

/** Returns how many addresses pods can have. Exact below 2^53; only huge IPv6 ranges exceed it. */
export function rangeCapacity(range: Range): number {
  return capacityWithin(range, cidrSpan(range.cidr));
}

/** Returns how many addresses of the range that lie in the span pods can have. */
export function capacityWithin(range: Range, span: Span): number {
  const inside = commonSpan(cidrSpan(range.cidr), span);
  if (!inside) return 0;
  const reserved = reservedSpans(range).flatMap((each) => commonSpan(each, inside) ?? []);
  return Number(reserved.reduce((left, each) => left - spanSize(each), spanSize(inside)));
}

/** Returns how many blocks have at least one address that a pod can have. */
export function usableBlockTotal(range: Range): number {
  const size = BigInt(range.blockSize);
  const base = range.cidr.base.value;
  let wholly = 0n;
  for (const span of reservedSpans(range)) {
    const firstBlock = (span.first.value - base + size - 1n) / size;
    const endBlock = (span.last.value - base + 1n) / size;
    if (endBlock > firstBlock) wholly += endBlock - firstBlock;
  }
  return Number(blockTotal(range) - wholly);
}

/** Returns whether the block has no address that a pod can have. */
export function isBlockReserved(range: Range, block: Cidr): boolean {
  const { first, last } = cidrSpan(block);
  return reservedSpans(range).some((span) => spanContains(span, first) && spanContains(span, last));
}

/**
 * Picks an unclaimed block: the first usable one at or after a random place, wrapping around. Nodes
 * that claim concurrently start at different places, so they seldom collide. Worst case: one step
 * for each claimed block and each reserved span.
 * @param claimed texts of the claimed blocks (`10.20.0.16/28`)
 * @param random value in [0, 1), passed in (rule 9)
 * @param covered whole blocks that are not to be picked either
 */
export function pickBlock(
  range: Range,
  claimed: ReadonlySet<string>,
  random: number,
  covered: readonly Span[] = [],
): Cidr | undefined {
  const total = blockTotal(range);
  const size = BigInt(range.blockSize);
  const barred = [...reservedSpans(range), ...covered];
  const start = randomBelow(total, random);
  let passed = 0n;
  while (passed < total) {
    const index = (start + passed) % total;
    const block = {
      base: offsetAddress(range.cidr.base, index * size),
      prefixLength: blockPrefixLength(range),
    };
    const { first, last } = cidrSpan(block);
    const covering = barred.find((span) => spanContains(span, first) && spanContains(span, last));
    if (!covering && !claimed.has(formatCidr(block))) return block;
    // A span may cover 2^60 blocks of an IPv6 range: skip all of it, within the range.
    passed += covering ? (covering.last.value + 1n - first.value) / size : 1n;
  }
  return undefined;
}

function randomBelow(total: bigint, random: number): bigint {
  const index = (BigInt(Math.floor(random * 2 ** 52)) * total) >> 52n;
  return index < total ? index : total - 1n;
}

/** Returns the ranges of that family, in the order given: IPAM fills them by name. */
export function rangesOfFamily(ranges: readonly Range[], family: Family): Range[] {
  return ranges.filter((range) => range.cidr.base.family === family);
}
