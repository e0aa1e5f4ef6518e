/**
 * Encodes and decodes RTM_…ROUTE of rtnetlink(7): `struct rtmsg` and RTA_… of linux/rtnetlink.h.
 * Pure.
 */
import { putU32, putU8, readU32 } from 'netlink/dist/structs.js';
import { formatAddress, parseAddressInSubnet, type Family } from '../../ipam/model/address.ts';
import { addressFamily, ip, nested, payload, readAttributes, readIp, readNumber, u32 } from './attributes.ts';
import {
  AF_INET,
  AF_INET6,
  NLM_F_CREATE,
  NLM_F_EXCL,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RT_TABLE_UNSPEC,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_OIF,
  RTA_PRIORITY,
  RTA_TABLE,
  RTAX_ADVMSS,
  RTAX_MTU,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from './kernel.ts';
import type { NamedLink } from './link-messages.ts';
import { change, dump, type Reply, type Request } from './request.ts';

/** A route through one interface. */
export interface Route {
  /** For example '0.0.0.0/0', '10.96.0.0/12' or '::/0'. */
  readonly dst: string;
  /** The next hop. Undefined: the destination is on the link itself. */
  readonly gateway?: string | undefined;
  /** True allows a gateway outside the interface's subnets. */
  readonly onlink?: boolean | undefined;
  /** Metric: the lowest wins. Default: 0 for IPv4. For IPv6 the kernel turns 0 into 1,024. */
  readonly priority?: number | undefined;
  /** Default: 254, the main table. */
  readonly table?: number | undefined;
  /** RT_SCOPE_…. Default: 0 (universe) with a gateway, 253 (link) without. */
  readonly scope?: number | undefined;
  /** Path MTU for this destination, in bytes. */
  readonly mtu?: number | undefined;
  /** TCP maximum segment size that the kernel announces, in bytes. */
  readonly advmss?: number | undefined;
}

/** A route as the kernel reports it. */
export interface InstalledRoute extends Route {
  readonly family: Family;
  readonly table: number;
  readonly priority: number;
  readonly linkIndex: number | undefined;
  /** RTPROT_…: 2 for routes that the kernel creates for an address, 3 for ours. */
  readonly protocol: number;
}

const HEADER_LENGTH = 12;

interface Header {
  readonly family: number;
  readonly prefixLength?: number;
  readonly table?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly type?: number;
  readonly flags?: number;
}

/** Encodes struct rtmsg. */
const header = (fields: Header): Buffer =>
  Buffer.concat([
    putU8(fields.family),
    putU8(fields.prefixLength ?? 0),
    putU8(0),
    putU8(0),
    putU8(fields.table ?? RT_TABLE_UNSPEC),
    putU8(fields.protocol ?? 0),
    putU8(fields.scope ?? RT_SCOPE_UNIVERSE),
    putU8(fields.type ?? 0),
    putU32(fields.flags ?? 0),
  ]);

export const describeRoute = ({ dst, gateway }: Route): string =>
  gateway === undefined ? dst : `${dst} via ${gateway}`;

const message = ({ index }: NamedLink, route: Route): Buffer => {
  const { address, prefixLength } = parseAddressInSubnet(route.dst, 'route');
  const table = route.table ?? RT_TABLE_MAIN;
  const metrics =
    route.mtu === undefined && route.advmss === undefined
      ? undefined
      : nested(RTA_METRICS, u32(RTAX_MTU, route.mtu), u32(RTAX_ADVMSS, route.advmss));
  return payload(
    header({
      family: addressFamily(address.family),
      prefixLength,
      table: table < 256 ? table : RT_TABLE_UNSPEC,
      protocol: RTPROT_BOOT,
      scope: route.scope ?? (route.gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE),
      type: RTN_UNICAST,
      flags: route.onlink === true ? RTNH_F_ONLINK : 0,
    }),
    [
      prefixLength === 0 ? undefined : ip(RTA_DST, formatAddress(address)),
      ip(RTA_GATEWAY, route.gateway),
      u32(RTA_OIF, index),
      u32(RTA_PRIORITY, route.priority),
      table < 256 ? undefined : u32(RTA_TABLE, table),
      metrics,
    ],
  );
};

/**
 * Adds a route. The link must be up. Fails with EEXIST when the destination already has a route of
 * the same table and priority, even through another link. Fails with ENETUNREACH or EHOSTUNREACH
 * when the gateway is in no subnet of the link.
 * Equivalent to: ip route add DST via GATEWAY dev LINK metric N mtu BYTES advmss BYTES table T
 *   onlink
 */
export const addRoute = (link: NamedLink, route: Route): Request =>
  change(
    `add route ${describeRoute(route)} through ${link.name}`,
    RTM_NEWROUTE,
    NLM_F_CREATE | NLM_F_EXCL,
    message(link, route),
  );

const isUnicast = ({ payload: reply }: Reply): boolean =>
  [AF_INET, AF_INET6].includes(reply.readUInt8(0)) &&
  reply.readUInt8(7) === RTN_UNICAST &&
  reply.readUInt8(4) !== RT_TABLE_LOCAL;

/**
 * Lists unicast routes of both families and of all tables except the kernel's local one.
 * Equivalent to: ip route show table all
 */
export const showRoutes = (): Request<InstalledRoute[]> => {
  const all = dump('list routes', RTM_GETROUTE, header({ family: 0 }), decodeRoute);
  return { ...all, decode: (replies) => all.decode(replies.filter(isUnicast)) };
};

const decodeTo = (reply: Buffer, dst: Buffer | undefined, family: Family): string => {
  const anywhere = family === 4 ? '0.0.0.0' : '::';
  return `${dst === undefined ? anywhere : readIp(dst)}/${reply.readUInt8(1)}`;
};

export const decodeRoute = ({ payload: reply }: Reply): InstalledRoute => {
  const attributes = readAttributes(reply, HEADER_LENGTH);
  const family = reply.readUInt8(0) === AF_INET ? 4 : 6;
  const gateway = attributes.get(RTA_GATEWAY);
  const metrics = readAttributes(attributes.get(RTA_METRICS) ?? Buffer.alloc(0), 0);
  const mtu = readNumber(metrics.get(RTAX_MTU));
  const advmss = readNumber(metrics.get(RTAX_ADVMSS));
  return {
    family,
    dst: decodeTo(reply, attributes.get(RTA_DST), family),
    ...(gateway !== undefined && { gateway: readIp(gateway) }),
    ...((readU32.call(reply, 8) & RTNH_F_ONLINK) !== 0 && { onlink: true }),
    priority: readNumber(attributes.get(RTA_PRIORITY)) ?? 0,
    table: readNumber(attributes.get(RTA_TABLE)) ?? reply.readUInt8(4),
    scope: reply.readUInt8(6),
    protocol: reply.readUInt8(5),
    linkIndex: readNumber(attributes.get(RTA_OIF)),
    ...(mtu !== undefined && { mtu }),
    ...(advmss !== undefined && { advmss }),
  };
};
