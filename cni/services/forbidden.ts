import {
  cidrContains,
  familyBits,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
} from '../../ipam/model/address.ts';

/** Addresses that no Service may have as a virtual one. */
export interface Forbidden {
  /** cellnet's ranges: the addresses of pods and of their gateways. */
  readonly ranges: readonly { readonly name: string; readonly cidr: Cidr }[];
  /** The addresses of this node itself. */
  readonly nodeAddresses: readonly Address[];
}

export const NOTHING_FORBIDDEN: Forbidden = { ranges: [], nodeAddresses: [] };

/** Addresses that are no single host's. kube-proxy refuses endpoints there, too. */
const SPECIAL: readonly { readonly cidr: Cidr; readonly reason: string }[] = (
  [
    ['0.0.0.0/32', 'is the unspecified address'],
    ['127.0.0.0/8', 'is a loopback address'],
    ['169.254.0.0/16', 'is a link-local address'],
    ['224.0.0.0/4', 'is a multicast address'],
    ['255.255.255.255/32', 'is the broadcast address'],
    ['::/128', 'is the unspecified address'],
    ['::1/128', 'is a loopback address'],
    ['::ffff:0.0.0.0/96', 'is an IPv4 address in the form of an IPv6 address'],
    ['fe80::/10', 'is a link-local address'],
    ['ff00::/8', 'is a multicast address'],
  ] as const
).map(([text, reason]) => ({ cidr: parseCidr(text), reason }));

/** The same as spans of plain numbers: the table looks at 50,000 IPv4 endpoints at its start. */
const SPECIAL_IPV4 = SPECIAL.filter(({ cidr }) => cidr.base.family === 4).map(({ cidr, reason }) => {
  const first = Number(cidr.base.value);
  return { first, last: first + 2 ** (32 - cidr.prefixLength) - 1, reason };
});
const SPECIAL_IPV6 = SPECIAL.filter(({ cidr }) => cidr.base.family === 6);

/** Returns why no host can have the address; undefined if one can. */
export function whySpecial(address: Address): string | undefined {
  if (address.family === 6) return SPECIAL_IPV6.find(({ cidr }) => cidrContains(cidr, address))?.reason;
  const value = Number(address.value);
  return SPECIAL_IPV4.find(({ first, last }) => first <= value && value <= last)?.reason;
}

/** Returns why the address may not be a Service's; undefined if it may. */
export type AddressRule = (address: Address) => string | undefined;

/** The rules for the addresses that Services ask for. */
export interface AddressRules {
  readonly cluster: AddressRule;
  readonly others: AddressRule;
}

/**
 * A Service with a pod's address would receive what others send to that pod. The API server assigns
 * cluster addresses, and a node may have some of them: kube-proxy in IPVS mode gives it all,
 * NodeLocal DNSCache that of the cluster's DNS.
 */
export function rulesOf({ ranges, nodeAddresses }: Forbidden): AddressRules {
  const rangeOf = rangeFinder(ranges);
  const ofNode = new Set(nodeAddresses.map(formatAddress));
  const cluster: AddressRule = (address) => {
    const special = whySpecial(address);
    if (special !== undefined) return special;
    const range = rangeOf(address);
    return range && `is in the range ${range.name} (${formatCidr(range.cidr)}), whose addresses are pods'`;
  };
  const others: AddressRule = (address) =>
    cluster(address) ?? (ofNode.has(formatAddress(address)) ? 'is an address of this node' : undefined);
  return { cluster, others };
}

type Range = Forbidden['ranges'][number];

/** One look-up for each prefix length that ranges have: 550 ranges have few. */
function rangeFinder(ranges: readonly Range[]): (address: Address) => Range | undefined {
  const byLength = new Map<string, { subnet: (address: Address) => bigint; ranges: Map<bigint, Range> }>();
  for (const range of ranges) {
    const { base, prefixLength } = range.cidr;
    const key = `${base.family}/${prefixLength}`;
    const subnet = ({ family, value }: Address): bigint =>
      family === base.family ? value >> BigInt(familyBits(family) - prefixLength) : -1n;
    const group = byLength.get(key) ?? { subnet, ranges: new Map<bigint, Range>() };
    byLength.set(key, group);
    group.ranges.set(subnet(base), range);
  }
  const groups = [...byLength.values()];
  return (address) => {
    for (const group of groups) {
      const range = group.ranges.get(group.subnet(address));
      if (range) return range;
    }
    return undefined;
  };
}

/** Returns the address; or undefined if the text is none. */
export function addressIn(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}

/** Returns why {@link addressIn} found no address in the text. */
export const whyNoAddress = (text: string): string =>
  /^[0-9a-f.:]+\/\d+$/i.test(text) ? 'is a subnet, not one address' : 'is not an IP address';

export const whyNoPort = (port: number): string | undefined =>
  Number.isInteger(port) && port >= 1 && port <= 65_535 ? undefined : 'is not a number from 1 to 65535';

/** Compares what Services are held to. */
export function sameForbidden(a: Forbidden, b: Forbidden): boolean {
  return textOf(a) === textOf(b);
}

const textOf = ({ ranges, nodeAddresses }: Forbidden): string =>
  JSON.stringify([
    ranges.map(({ name, cidr }) => [name, formatCidr(cidr)]),
    nodeAddresses.map(({ family, value }) => [family, value.toString()]),
  ]);
