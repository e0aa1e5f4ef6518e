import {
  cidrContains,
  cidrSize,
  cidrSpan,
  familyBits,
  familyName,
  formatAddress,
  formatCidr,
  formatSpan,
  joinSpans,
  offsetAddress,
  sameAddress,
  spanContains,
  spansOverlap,
  spanSize,
  subnetOf,
  type Address,
  type Cidr,
  type Family,
  type Span,
} from './address.ts';
import { invalid, IpamError } from './errors.ts';

/** A route that pods of the range get beside the default route. */
export interface Route {
  readonly destination: Cidr;
  /** Next hop on the range's own subnet; absent: the range's gateway. */
  readonly via?: Address;
}

/** `draining`: what is given out stays, nothing new is given out. */
export type RangeState = 'active' | 'draining';

/** A subnet that the network department handed over, with what pods on it need to know. */
export interface Range {
  readonly name: string;
  readonly cidr: Cidr;
  /** Absent: pods get no default route. */
  readonly gateway?: Address;
  /** 802.1Q VLAN ID 1 … 4094 of the port's access VLAN; absent: untagged. */
  readonly vlan?: number;
  /** Addresses that pods never get, beside network, broadcast and gateway. */
  readonly exclude: readonly Span[];
  readonly routes: readonly Route[];
  /** Addresses in a block: a power of two, fixed when the range is added. */
  readonly blockSize: number;
  /** How long a released address rests before it is given out again, in milliseconds. */
  readonly cooldownMs: number;
  readonly state: RangeState;
}

export const DEFAULT_BLOCK_SIZE = 16;
export const DEFAULT_COOLDOWN_MS = 30_000;
const BLOCK_SIZES = [4, 8, 16, 32, 64];
const MAX_COOLDOWN_MS = 24 * 3600_000;
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** Prefix length of the range's blocks: /28 or /124 for 16 addresses. */
export function blockPrefixLength(range: Pick<Range, 'cidr' | 'blockSize'>): number {
  return familyBits(range.cidr.base.family) - Math.log2(range.blockSize);
}

/** The block of the range that holds the address, on its boundary. */
export function blockAt(range: Range, address: Address): Cidr {
  return subnetOf(address, blockPrefixLength(range));
}

export function blockTotal(range: Range): bigint {
  return cidrSize(range.cidr) / BigInt(range.blockSize);
}

/**
 * What no pod gets, sorted and joined: the network address and, for IPv4, the broadcast address
 * (for IPv6 the first address is the Subnet-Router anycast address, RFC 4291 section 2.6.1), the
 * gateway, every next hop of a route, and the exclusions.
 */
export function reservedSpans(range: Range): Span[] {
  const { first, last } = cidrSpan(range.cidr);
  const single = (address: Address): Span => ({ first: address, last: address });
  const hops = range.routes.flatMap((route) => (route.via ? [single(route.via)] : []));
  return joinSpans([
    single(first),
    ...(first.family === 4 ? [single(last)] : []),
    ...(range.gateway ? [single(range.gateway)] : []),
    ...hops,
    ...range.exclude,
  ]);
}

export function isReserved(range: Range, address: Address): boolean {
  return reservedSpans(range).some((span) => spanContains(span, address));
}

/** How many addresses pods can have: exact below 2^53, which only huge IPv6 ranges pass. */
export function rangeCapacity(range: Range): number {
  const reserved = reservedSpans(range).reduce((sum, span) => sum + spanSize(span), 0n);
  return Number(cidrSize(range.cidr) - reserved);
}

/** How many blocks have an address that a pod can have. */
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

/** Whether a block has no address that a pod can have. */
export function isBlockReserved(range: Range, block: Cidr): boolean {
  const { first, last } = cidrSpan(block);
  return reservedSpans(range).some((span) => spanContains(span, first) && spanContains(span, last));
}

/**
 * Chooses an unclaimed block: the first usable one at or after a random place, going round. Nodes that
 * claim at the same moment start at different places, so they seldom collide. Worst case: one step for each
 * claimed block and each reserved span.
 * @param claimed texts of the claimed blocks (`10.20.0.16/28`)
 * @param random value in [0, 1), passed in (rule 9)
 */
export function pickBlock(range: Range, claimed: ReadonlySet<string>, random: number): Cidr | undefined {
  const total = blockTotal(range);
  const size = BigInt(range.blockSize);
  const reserved = reservedSpans(range);
  const start = randomBelow(total, random);
  let passed = 0n;
  while (passed < total) {
    const index = (start + passed) % total;
    const block = {
      base: offsetAddress(range.cidr.base, index * size),
      prefixLength: blockPrefixLength(range),
    };
    const { first, last } = cidrSpan(block);
    const covering = reserved.find((span) => spanContains(span, first) && spanContains(span, last));
    if (!covering && !claimed.has(formatCidr(block))) return block;
    // A reserved span may cover 2^60 blocks of an IPv6 range: step over all of it, but not past the range's end.
    passed += covering ? (covering.last.value + 1n - first.value) / size : 1n;
  }
  return undefined;
}

function randomBelow(total: bigint, random: number): bigint {
  const index = (BigInt(Math.floor(random * 2 ** 52)) * total) >> 52n;
  return index < total ? index : total - 1n;
}

export interface NewRange {
  readonly name?: string;
  readonly cidr: Cidr;
  readonly gateway?: Address;
  readonly vlan?: number;
  readonly exclude?: readonly Span[];
  readonly routes?: readonly Route[];
  readonly blockSize?: number;
  readonly cooldownMs?: number;
}

/**
 * The range that is to be added, checked by itself; {@link checkNoOverlap} checks it against the others.
 * @throws IpamError `invalid`, naming the value and what would be right
 */
export function makeRange(input: NewRange): Range {
  const { cidr } = input;
  const range: Range = {
    name: input.name ?? defaultRangeName(cidr),
    cidr,
    ...(input.gateway && { gateway: input.gateway }),
    ...(input.vlan !== undefined && { vlan: input.vlan }),
    exclude: joinSpans(input.exclude ?? []),
    routes: input.routes ?? [],
    blockSize: input.blockSize ?? DEFAULT_BLOCK_SIZE,
    cooldownMs: input.cooldownMs ?? DEFAULT_COOLDOWN_MS,
    state: 'active',
  };
  for (const check of [checkName, checkNumbers, checkSize, checkGateway, checkRoutes, checkExclusions])
    check(range);
  return range;
}

/** `10.20.0.0/22` → `10.20.0.0-22`; colons of IPv6 become dashes. */
export function defaultRangeName(cidr: Cidr): string {
  const base =
    formatAddress(cidr.base)
      .replaceAll(':', '-')
      .replace(/^-+|-+$/g, '') || '0';
  return `${base}-${cidr.prefixLength}`;
}

function checkName(range: Range): void {
  if (!NAME.test(range.name)) {
    throw invalid(
      `range name '${range.name}': expected 1 to 63 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit`,
    );
  }
}

function checkNumbers(range: Range): void {
  const { vlan, blockSize, cooldownMs } = range;
  if (vlan !== undefined && !(Number.isInteger(vlan) && vlan >= 1 && vlan <= 4094)) {
    throw invalid(`vlan ${vlan}: expected a VLAN ID from 1 to 4094, or none for an untagged range`);
  }
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw invalid(`block size ${blockSize}: expected one of ${BLOCK_SIZES.join(', ')}`);
  }
  if (!(Number.isFinite(cooldownMs) && cooldownMs >= 0 && cooldownMs <= MAX_COOLDOWN_MS)) {
    throw invalid(`cooldown ${cooldownMs} ms: expected 0 to ${MAX_COOLDOWN_MS} ms (24 hours)`);
  }
}

function checkSize(range: Range): void {
  const { base, prefixLength } = range.cidr;
  const smallest = blockPrefixLength(range);
  const largest = base.family === 4 ? 8 : 48;
  if (prefixLength < largest || prefixLength > smallest) {
    throw invalid(
      `subnet '${formatCidr(range.cidr)}': an ${familyName(base.family)} range with blocks of ${range.blockSize} is from /${largest} to /${smallest}`,
    );
  }
  checkUnicast(range.cidr);
}

const NOT_FOR_PODS: readonly { readonly cidr: Cidr; readonly what: string }[] = [
  { cidr: subnetOf({ family: 4, value: 0n }, 8), what: '"this network" (RFC 1122)' },
  { cidr: subnetOf({ family: 4, value: 127n << 24n }, 8), what: 'loopback (RFC 1122)' },
  { cidr: subnetOf({ family: 4, value: 0xa9fe0000n }, 16), what: 'link-local (RFC 3927)' },
  { cidr: subnetOf({ family: 4, value: 224n << 24n }, 3), what: 'multicast or reserved (RFC 1112)' },
  { cidr: subnetOf({ family: 6, value: 0n }, 96), what: 'unspecified or loopback (RFC 4291)' },
  { cidr: subnetOf({ family: 6, value: 0xffffn << 32n }, 96), what: 'IPv4-mapped (RFC 4291)' },
  { cidr: subnetOf({ family: 6, value: 0xfe80n << 112n }, 10), what: 'link-local (RFC 4291)' },
  { cidr: subnetOf({ family: 6, value: 0xffn << 120n }, 8), what: 'multicast (RFC 4291)' },
];

function checkUnicast(cidr: Cidr): void {
  const bad = NOT_FOR_PODS.find((entry) => spansOverlap(cidrSpan(entry.cidr), cidrSpan(cidr)));
  if (bad) {
    throw invalid(
      `subnet '${formatCidr(cidr)}' lies in ${formatCidr(bad.cidr)}, which is ${bad.what}: expected a unicast subnet`,
    );
  }
}

function checkGateway(range: Range): void {
  const { gateway, cidr } = range;
  if (!gateway) return;
  checkNeighbour(range, gateway, 'gateway');
  const { first, last } = cidrSpan(cidr);
  if (sameAddress(gateway, first) || (gateway.family === 4 && sameAddress(gateway, last))) {
    const role = sameAddress(gateway, first) ? 'network' : 'broadcast';
    throw invalid(
      `gateway ${formatAddress(gateway)} is the ${role} address of ${formatCidr(cidr)}: expected a host address such as ${formatAddress(offsetAddress(first, 1n))}`,
    );
  }
}

function checkNeighbour(range: Range, address: Address, what: string): void {
  if (cidrContains(range.cidr, address)) return;
  const { first, last } = cidrSpan(range.cidr);
  throw invalid(
    `${what} ${formatAddress(address)} is outside ${formatCidr(range.cidr)}: expected an address from ${formatAddress(offsetAddress(first, 1n))} to ${formatAddress(offsetAddress(last, first.family === 4 ? -1n : 0n))}`,
  );
}

function checkRoutes(range: Range): void {
  for (const { destination, via } of range.routes) {
    const text = formatCidr(destination);
    if (destination.base.family !== range.cidr.base.family) {
      throw invalid(`route ${text} is not of the range's family ${familyName(range.cidr.base.family)}`);
    }
    if (via) checkNeighbour(range, via, `next hop of route ${text}`);
    else if (!range.gateway) {
      throw invalid(
        `route ${text} names no next hop and the range has no gateway: expected '${text} via ADDRESS'`,
      );
    }
    if (destination.prefixLength === 0 && range.gateway) {
      throw invalid(
        `route ${text} doubles the default route by gateway ${formatAddress(range.gateway)}: leave one out`,
      );
    }
  }
}

function checkExclusions(range: Range): void {
  const whole = cidrSpan(range.cidr);
  for (const span of range.exclude) {
    if (!spanContains(whole, span.first) || !spanContains(whole, span.last)) {
      throw invalid(
        `exclusion ${formatSpan(span)} is not inside ${formatCidr(range.cidr)}: expected addresses from ${formatSpan(whole)}`,
      );
    }
  }
  if (rangeCapacity(range) === 0)
    throw invalid(`exclusions leave no address of ${formatCidr(range.cidr)} for pods`);
}

/**
 * @throws IpamError `conflict` where another range has the name, or an address of the new one
 */
export function checkNoOverlap(range: Range, others: readonly Range[]): void {
  for (const other of others) {
    if (other.name === range.name) {
      throw new IpamError('conflict', `range '${range.name}' exists: it is ${formatCidr(other.cidr)}`);
    }
    if (spansOverlap(cidrSpan(range.cidr), cidrSpan(other.cidr))) {
      throw new IpamError(
        'conflict',
        `${formatCidr(range.cidr)} overlaps with range '${other.name}' (${formatCidr(other.cidr)}): expected a subnet outside it`,
      );
    }
  }
}

/** The ranges of that family, in the order in which they are used up: by name given, else by subnet. */
export function rangesOfFamily(ranges: readonly Range[], family: Family): Range[] {
  return ranges.filter((range) => range.cidr.base.family === family);
}
