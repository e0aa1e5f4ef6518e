/**
 * Addresses and routes as the kernel listed them, and requests that give the same ones to another
 * link, with all that they carry: scope, label, lifetimes, metric, source. As `ip address save` and
 * `ip route save` do, a record keeps the kernel's own message. Pure.
 */
import { parseAttributes, putU32, readS32, readU32 } from 'netlink/dist/structs.js';
import { decodeAddress, type AssignedAddress } from './address-messages.ts';
import { payload, readAttributes, readNumber, readText, type Attribute } from './attributes.ts';
import {
  AF_INET,
  AF_INET6,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_CACHEINFO,
  IFA_F_NODAD,
  IFA_FLAGS,
  IFA_LABEL,
  IFA_LOCAL,
  IFA_PROTO,
  IFA_RT_PRIORITY,
  IFNAMSIZ,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  RTA_CACHEINFO,
  RTA_DST,
  RTA_ENCAP,
  RTA_EXPIRES,
  RTA_FLOW,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_NH_ID,
  RTA_OIF,
  RTA_PREF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_TABLE,
  RTA_VIA,
  RTM_DELADDR,
  RTM_DELROUTE,
  RTM_F_CLONED,
  RTM_GETADDR,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWROUTE,
  RTNH_F_ONLINK,
} from './kernel.ts';
import type { NamedLink } from './link-messages.ts';
import { change, dump, type Reply, type Request } from './request.ts';
import { decodeRoute, describeRoute, type InstalledRoute } from './route-messages.ts';

/** An address or a route as the kernel's message about it, in hexadecimal digits. */
export interface Carried {
  /** For people, for example `192.0.2.5/24` or `0.0.0.0/0 via 192.0.2.1`. */
  readonly text: string;
  readonly message: string;
}

export interface HostAddress extends AssignedAddress, Carried {
  /** Seconds until the address ends. Undefined: it does not. */
  readonly validSeconds?: number;
}

export interface HostRoute extends InstalledRoute, Carried {
  /** Links of all next hops, where the route has several. */
  readonly nextHops: readonly number[];
  /** What this program cannot move: a nexthop object, an encapsulation. */
  readonly special?: string;
}

const ADDRESS_HEADER = 8;
const ROUTE_HEADER = 12;
const FOR_EVER = 0xffff_ffff;
/** Clock ticks per second in messages to programs (USER_HZ). */
const USER_HZ = 100;

/** Attributes of an address that the new link's has too. */
const KEPT_OF_ADDRESS = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_CACHEINFO, IFA_RT_PRIORITY, IFA_PROTO];
/** Attributes of a route that the new link's has too. */
const KEPT_OF_ROUTE = [
  RTA_DST,
  RTA_GATEWAY,
  RTA_VIA,
  RTA_PRIORITY,
  RTA_PREFSRC,
  RTA_METRICS,
  RTA_FLOW,
  RTA_TABLE,
  RTA_PREF,
];

/** Lists the addresses of all links. Equivalent to: ip address show */
export const showHostAddresses = (): Request<HostAddress[]> =>
  dump('list addresses', RTM_GETADDR, Buffer.alloc(ADDRESS_HEADER), decodeHostAddress);

/**
 * Lists the routes of all tables, of both families, of every type.
 * Equivalent to: ip route show table all; ip -6 route show table all
 */
export const showHostRoutes = (): Request<HostRoute[]> => {
  const all = dump('list routes', RTM_GETROUTE, Buffer.alloc(ROUTE_HEADER), decodeHostRoute);
  return { ...all, decode: (replies) => all.decode(replies.filter(isRoute)) };
};

/** A dump also has the kernel's cache, and the families of multicast routing and MPLS. */
const isRoute = ({ payload: message }: Reply): boolean =>
  [AF_INET, AF_INET6].includes(message.readUInt8(0)) && (readU32.call(message, 8) & RTM_F_CLONED) === 0;

const decodeHostAddress = (reply: Reply): HostAddress => {
  const address = decodeAddress(reply);
  const cache = readAttributes(reply.payload, ADDRESS_HEADER).get(IFA_CACHEINFO);
  // struct ifa_cacheinfo: preferred and valid lifetime first.
  const valid = cache === undefined ? FOR_EVER : readU32.call(cache, 4);
  return {
    ...address,
    ...(valid !== FOR_EVER && { validSeconds: valid }),
    text: `${address.address}/${address.prefixLength}`,
    message: reply.payload.toString('hex'),
  };
};

const decodeHostRoute = (reply: Reply): HostRoute => {
  const route = decodeRoute(reply);
  const attributes = readAttributes(reply.payload, ROUTE_HEADER);
  const special = attributes.has(RTA_NH_ID)
    ? 'a nexthop object'
    : attributes.has(RTA_ENCAP)
      ? 'an encapsulation'
      : undefined;
  const metric = route.priority === 0 ? '' : ` metric ${route.priority}`;
  return {
    ...route,
    nextHops: nextHopsOf(attributes.get(RTA_MULTIPATH)),
    ...(special !== undefined && { special }),
    text: `${describeRoute(route)}${metric}`,
    message: reply.payload.toString('hex'),
  };
};

/** Decodes RTA_MULTIPATH: struct rtnexthop { u16 length; u8 flags, hops; int index }, repeated. */
const nextHopsOf = (value: Buffer | undefined): number[] => {
  const indexes: number[] = [];
  for (let at = 0; value !== undefined && at + 8 <= value.length;) {
    indexes.push(readS32.call(value, at + 4));
    at += Math.max(8, (value.readUInt16LE(at) + 3) & ~3);
  }
  return indexes;
};

const kept = (message: Buffer, offset: number, types: readonly number[]): Attribute[] => {
  const attributes: Attribute[] = [];
  parseAttributes(message.subarray(offset), ({ type, data }) => {
    if (types.includes(type)) attributes.push([type, data]);
  });
  return attributes;
};

/**
 * The label of an IPv4 address begins with its link's name, as ip-address(8) demands: `eth0:1`
 * becomes `br-cell:1`. One that gets too long becomes the name alone.
 */
export const labelOn = (label: string, from: string, to: string): string => {
  const moved = label === from || label.startsWith(`${from}:`) ? `${to}${label.slice(from.length)}` : label;
  return Buffer.byteLength(moved) < IFNAMSIZ ? moved : to;
};

/** The message of an address, for another link. */
const addressOn = ({ message }: Carried, link: NamedLink, from?: string): Buffer => {
  const original = Buffer.from(message, 'hex');
  const family = original.readUInt8(0);
  const attributes = readAttributes(original, ADDRESS_HEADER);
  const flags = readNumber(attributes.get(IFA_FLAGS)) ?? original.readUInt8(2);
  const label = family === AF_INET ? readText(attributes.get(IFA_LABEL)) : undefined;
  const named = label !== undefined && from !== undefined ? labelOn(label, from, link.name) : label;
  const head = Buffer.from(original.subarray(0, ADDRESS_HEADER));
  putU32(link.index).copy(head, 4);
  return payload(head, [
    ...kept(original, ADDRESS_HEADER, KEPT_OF_ADDRESS),
    // The host had the address a moment ago: to look for duplicates would make it wait.
    [IFA_FLAGS, putU32(family === AF_INET6 ? flags | IFA_F_NODAD : flags)],
    named === undefined ? undefined : [IFA_LABEL, Buffer.from(`${named}\0`)],
  ]);
};

/**
 * Gives the address to the link, which may have it already.
 * Equivalent to: ip address replace …
 * @param from the name of the link that the label is of; undefined: the label stays as it is
 */
export const placeAddress = (address: Carried, link: NamedLink, from?: string): Request =>
  change(
    `add address ${address.text} to ${link.name}`,
    RTM_NEWADDR,
    NLM_F_CREATE | NLM_F_REPLACE,
    addressOn(address, link, from),
  );

/** Equivalent to: ip address delete … dev LINK */
export const takeAddress = (address: Carried, link: NamedLink): Request => {
  const original = Buffer.from(address.message, 'hex');
  const head = Buffer.from(original.subarray(0, ADDRESS_HEADER));
  putU32(link.index).copy(head, 4);
  return change(
    `delete address ${address.text} of ${link.name}`,
    RTM_DELADDR,
    0,
    payload(head, kept(original, ADDRESS_HEADER, [IFA_LOCAL, IFA_ADDRESS])),
  );
};

/** The message of a route, for another link. */
const routeOn = ({ message }: Carried, link: NamedLink): Buffer => {
  const original = Buffer.from(message, 'hex');
  const head = Buffer.from(original.subarray(0, ROUTE_HEADER));
  putU32(readU32.call(original, 8) & RTNH_F_ONLINK).copy(head, 8);
  const cache = readAttributes(original, ROUTE_HEADER).get(RTA_CACHEINFO);
  // struct rta_cacheinfo: clntref, lastuse, expires.
  const expires = cache === undefined ? 0 : readS32.call(cache, 8);
  return payload(head, [
    ...kept(original, ROUTE_HEADER, KEPT_OF_ROUTE),
    [RTA_OIF, putU32(link.index)],
    expires > 0 ? [RTA_EXPIRES, putU32(Math.ceil(expires / USER_HZ))] : undefined,
  ]);
};

/** Fails with EEXIST when the link has the very route. Equivalent to: ip route append … dev LINK */
export const placeRoute = (route: Carried, link: NamedLink): Request =>
  change(`add route ${route.text} through ${link.name}`, RTM_NEWROUTE, NLM_F_CREATE, routeOn(route, link));

/** Fails with ESRCH when the link has no such route. Equivalent to: ip route delete … dev LINK */
export const takeRoute = (route: Carried, link: NamedLink): Request =>
  change(`delete route ${route.text} of ${link.name}`, RTM_DELROUTE, 0, routeOn(route, link));
