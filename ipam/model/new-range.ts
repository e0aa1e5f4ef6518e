import {
  cidrContains,
  cidrSpan,
  familyName,
  formatAddress,
  formatCidr,
  formatSpan,
  joinSpans,
  offsetAddress,
  sameAddress,
  spanContains,
  spansOverlap,
  subnetOf,
  type Address,
  type Cidr,
  type Span,
} from './address.ts';
import { invalid, IpamError } from './errors.ts';
import { isObjectName, OBJECT_NAME_FORM } from './object-name.ts';
import { blockPrefixLength, rangeCapacity, type Range, type Route } from './range.ts';

export const DEFAULT_BLOCK_SIZE = 16;
export const DEFAULT_COOLDOWN_MS = 30_000;
const BLOCK_SIZES = [4, 8, 16, 32, 64];
const MAX_COOLDOWN_MS = 24 * 3600_000;

export interface NewRange {
  readonly name?: string;
  readonly cidr: Cidr;
  readonly gateway?: Address;
  readonly vlan?: number;
  readonly exclude?: readonly Span[];
  readonly routes?: readonly Route[];
  readonly blockSize?: number;
  readonly cooldownMs?: number;
  readonly namedOnly?: boolean;
}

/**
 * Makes the range to add and checks it without the other ranges; {@link checkNoOverlap} compares it
 * with those.
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
    ...(input.namedOnly && { namedOnly: true as const }),
  };
  checkRange(range);
  checkDestinations(range);
  return range;
}

/** @throws IpamError `invalid`, naming the value and what would be right */
export function checkRange(range: Range): void {
  for (const check of [checkName, checkNumbers, checkSize, checkGateway, checkRoutes, checkExclusions])
    check(range);
}

/** Returns `10.20.0.0-22` for `10.20.0.0/22`. Colons of IPv6 become dashes. */
export function defaultRangeName(cidr: Cidr): string {
  const base =
    formatAddress(cidr.base)
      .replaceAll(':', '-')
      .replace(/^-+|-+$/g, '') || '0';
  return `${base}-${cidr.prefixLength}`;
}

function checkName(range: Range): void {
  if (!isObjectName(range.name)) throw invalid(`range name '${range.name}': expected ${OBJECT_NAME_FORM}`);
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
  checkNeighbour(range, gateway, `gateway ${formatAddress(gateway)}`);
  const { first, last } = cidrSpan(cidr);
  if (sameAddress(gateway, first) || (gateway.family === 4 && sameAddress(gateway, last))) {
    const role = sameAddress(gateway, first) ? 'network' : 'broadcast';
    throw invalid(
      `gateway ${formatAddress(gateway)} is the ${role} address of ${formatCidr(cidr)}: expected a host address such as ${formatAddress(offsetAddress(first, 1n))}`,
    );
  }
}

/** RFC 4291 section 2.5.6: the bits between the prefix and the interface identifier are zero. */
const LINK_LOCAL = subnetOf({ family: 6, value: 0xfe80n << 112n }, 64);

/** Redundant routers of IPv6 (VRRP) often have no other address in common than a link-local one. */
function isLinkLocalRouter(cidr: Cidr, address: Address): boolean {
  return (
    cidr.base.family === 6 && cidrContains(LINK_LOCAL, address) && !sameAddress(LINK_LOCAL.base, address)
  );
}

function checkNeighbour({ cidr }: Range, address: Address, what: string): void {
  if (cidrContains(cidr, address) || isLinkLocalRouter(cidr, address)) return;
  const { first, last } = cidrSpan(cidr);
  const where =
    address.family === first.family
      ? `outside ${formatCidr(cidr)}`
      : `${familyName(address.family)}, and the range ${formatCidr(cidr)} is ${familyName(first.family)}`;
  throw invalid(
    `${what} is ${where}: expected an address from ${formatAddress(offsetAddress(first, 1n))} to ${formatAddress(offsetAddress(last, first.family === 4 ? -1n : 0n))}${first.family === 6 ? ', or a link-local one such as fe80::1' : ''}`,
  );
}

function checkRoutes(range: Range): void {
  for (const { destination, via } of range.routes) {
    const text = formatCidr(destination);
    if (destination.base.family !== range.cidr.base.family) {
      throw invalid(`route ${text} is not of the range's family ${familyName(range.cidr.base.family)}`);
    }
    if (cidrContains(range.cidr, destination.base) && destination.prefixLength >= range.cidr.prefixLength) {
      throw invalid(
        `route ${text} lies in the range ${formatCidr(range.cidr)}, where pods reach one another directly: expected a subnet beyond it`,
      );
    }
    if (via) checkNeighbour(range, via, `next hop ${formatAddress(via)} (of route ${text})`);
    else if (!range.gateway) {
      throw invalid(
        `route ${text} names no next hop and the range has no gateway: expected '${text} via ADDRESS'`,
      );
    }
    if (destination.prefixLength === 0 && range.gateway) {
      throw invalid(
        `route ${text} is one default route too many, for gateway ${formatAddress(range.gateway)} makes one: expected the gateway alone, or this route and no gateway`,
      );
    }
  }
}

/** Not part of {@link checkRange}: a range that was added before this rule must stay readable. */
export function checkDestinations({ routes }: Pick<Range, 'routes'>): void {
  const destinations = routes.map(({ destination }) => formatCidr(destination));
  const twice = destinations.find((text, i) => destinations.indexOf(text) !== i);
  if (twice !== undefined)
    throw invalid(`route ${twice} is given more than once: expected one next hop for each destination`);
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

/** @throws IpamError `conflict` if another range has the same name or overlaps with the new one */
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
