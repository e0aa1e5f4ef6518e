/** What a device carries for the host, and what hinders that the bridge takes it over. Pure. */
import type { HostAddress, HostRoute } from '../../cni/netlink/carried-messages.ts';
import type { Baggage, HostNetwork } from '../../cni/netlink/host-network.ts';
import { RT_TABLE_LOCAL, RT_TABLE_MAIN, RTPROT_KERNEL } from '../../cni/netlink/kernel.ts';
import type { Link } from '../../cni/netlink/link-messages.ts';
import {
  cidrContains,
  familyBits,
  parseAddress,
  parseAddressInSubnet,
  parseCidr,
  type Address,
} from '../../ipam/model/address.ts';
import { plural } from '../render/plural.ts';

/** A device's addresses and routes, without those that every link has for itself. */
export interface UplinkLoad {
  readonly link: Link;
  readonly addresses: readonly HostAddress[];
  readonly routes: readonly HostRoute[];
}

const LINK_LOCAL = [parseCidr('169.254.0.0/16'), parseCidr('fe80::/10')];
const MULTICAST = [parseCidr('224.0.0.0/4'), parseCidr('ff00::/8')];

const isLinkLocal = (address: Address): boolean => LINK_LOCAL.some((each) => cidrContains(each, address));

/** Returns undefined when the host has no such device. */
export function loadOf(network: HostNetwork, device: string): UplinkLoad | undefined {
  const link = network.links.find(({ name }) => name === device);
  if (!link) return undefined;
  return {
    link,
    addresses: addressesOf(network, link),
    routes: network.routes.filter((route) => leadsBy(route, link) && !isOwn(route)),
  };
}

const addressesOf = ({ addresses }: HostNetwork, link: Link): HostAddress[] =>
  addresses.filter(
    ({ linkIndex, address }) => linkIndex === link.index && !isLinkLocal(parseAddress(address)),
  );

const leadsBy = ({ linkIndex, nextHops }: HostRoute, { index }: Link): boolean =>
  linkIndex === index || nextHops.includes(index);

/** Whether each link has such a route for itself: its own addresses, multicast, link-local. */
function isOwn({ dst, gateway, table, protocol }: HostRoute): boolean {
  if (table === RT_TABLE_LOCAL && protocol === RTPROT_KERNEL) return true;
  const { address, prefixLength } = parseAddressInSubnet(dst, 'route');
  if (MULTICAST.some((each) => cidrContains(each, address))) return true;
  // A route to a single link-local address, as to a cloud's metadata service, is the host's.
  return gateway === undefined && isLinkLocal(address) && prefixLength < familyBits(address.family);
}

export const isEmpty = ({ addresses, routes }: UplinkLoad): boolean =>
  addresses.length === 0 && routes.length === 0;

/** Routes named in a message. */
const NAMED = 3;

/** For example `addresses 192.0.2.5/24, 2001:db8::5/64 and 2 routes (0.0.0.0/0 via …)`. */
export function describeLoad({ addresses, routes }: UplinkLoad): string {
  const noun = addresses.length === 1 ? 'address' : 'addresses';
  const named = `${noun} ${addresses.map(({ text }) => text).join(', ')}`;
  const list = routes.slice(0, NAMED).map(({ text }) => text);
  const more = routes.length > NAMED ? ', …' : '';
  const ways = `${plural(routes.length, 'route')} (${list.join(', ')}${more})`;
  return [...(addresses.length > 0 ? [named] : []), ...(routes.length > 0 ? [ways] : [])].join(' and ');
}

/** Returns what is to be moved, in the order in which the kernel takes it. */
export function baggageOf({ addresses, routes }: UplinkLoad): Baggage {
  const carried = ({ text, message }: HostAddress | HostRoute): Baggage['routes'][number] => ({
    text,
    message,
  });
  const [direct, indirect] = [
    routes.filter(({ gateway }) => gateway === undefined),
    routes.filter(({ gateway }) => gateway !== undefined),
  ];
  // The kernel lists the addresses of IPv6 with the newest first.
  const inOrder = [
    ...addresses.filter(({ family }) => family === 4),
    ...addresses.filter(({ family }) => family === 6).reverse(),
  ];
  return { addresses: inOrder.map(carried), routes: [...direct, ...indirect].map(carried) };
}

const MASTERS: Readonly<Record<string, string>> = {
  bond: 'bond',
  bridge: 'Linux bridge',
  vrf: 'VRF',
  team: 'team',
};

/**
 * Returns why the device cannot be an uplink, whatever becomes of its own addresses: it belongs to
 * another device, others stand on it, or the members of a bond have addresses.
 */
export function unfitnessOf(network: HostNetwork, { link }: UplinkLoad): string[] {
  const master = network.links.find(({ index }) => index === link.master);
  const belongs =
    master && master.kind !== 'openvswitch'
      ? [`it is a member of the ${MASTERS[master.kind ?? ''] ?? master.kind ?? 'device'} ${master.name}`]
      : [];
  const upper = network.links
    .filter(({ lower }) => lower === link.index)
    .map(({ name, kind }) => `${name} (${kind ?? 'device'})`);
  const members = network.links
    .filter((each) => each.master === link.index)
    .map((member) => ({ member, addresses: addressesOf(network, member) }))
    .filter(({ addresses }) => addresses.length > 0)
    .map(
      ({ member, addresses }) =>
        `its member ${member.name} has ${addresses.map(({ text }) => text).join(', ')}`,
    );
  return [
    ...belongs,
    ...(upper.length > 0
      ? [`${upper.join(', ')} stand on it: a frame is theirs or the bridge's, not both's`]
      : []),
    ...members,
  ];
}

/** Returns what of the load cannot be moved. */
export function obstaclesOf(network: HostNetwork, { link, routes }: UplinkLoad): string[] {
  const several = routes.filter(({ nextHops }) => nextHops.length > 0);
  const special = routes.filter((route) => route.special !== undefined);
  const elsewhere = routes.filter(({ table }) => table !== RT_TABLE_MAIN);
  const rules = network.rules.filter(
    ({ inputLink, outputLink }) => inputLink === link.name || outputLink === link.name,
  );
  return [
    ...several.map(({ text }) => `the route ${text} has several next hops`),
    ...special.map(({ text, special: what }) => `the route ${text} has ${what ?? ''}`),
    ...elsewhere.map(({ text, table }) => `the route ${text} is in table ${table}`),
    ...rules.map(({ priority }) => `the routing rule ${priority} names ${link.name}`),
  ];
}
