/**
 * Encodes and decodes RTM_…LINK of rtnetlink(7): `struct ifinfomsg` and IFLA_… of linux/if_link.h.
 * Pure.
 */
import { putS32, putU16, putU32, putU8, readS32, readU32 } from 'netlink/dist/structs.js';
import {
  mac,
  nested,
  payload,
  readAttributes,
  readMac,
  readNumber,
  readText,
  text,
  u32,
  u8,
  type Attribute,
} from './attributes.ts';
import {
  AF_INET,
  AF_INET6,
  IF_OPER_UP,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_AF_SPEC,
  IFLA_CARRIER,
  IFLA_EXT_MASK,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INET_CONF,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_LINK_NETNSID,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_NUM_RX_QUEUES,
  IFLA_NUM_TX_QUEUES,
  IFLA_OPERSTATE,
  IFLA_PROMISCUITY,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF_ARP_NOTIFY,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  RTEXT_FILTER_SKIP_STATS,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
  VETH_INFO_PEER,
} from './kernel.ts';
import { change, dump, type Reply, type Request } from './request.ts';

/** A link by name or by index. Unlike a name, an index never comes to mean another link. */
export type LinkReference = { readonly name: string } | { readonly index: number };

/** A link that exists. The kernel uses the index, messages use the name. */
export interface NamedLink {
  readonly index: number;
  readonly name: string;
}

export interface Link extends NamedLink {
  /** For example '0a:58:0a:14:00:11'. */
  readonly mac: string;
  /** Bytes. */
  readonly mtu: number;
  /** True when the link is administratively up (IFF_UP). */
  readonly up: boolean;
  /** True when the other end is up too. */
  readonly carrier: boolean;
  /** True when the kernel has seen both ends up and passes packets (RFC 2863 ifOperStatus up). */
  readonly operational: boolean;
  /** Number of users that ask for every frame. A switch's datapath does so for its ports. */
  readonly promiscuity: number;
  readonly alias?: string;
  /** For example 'veth'. A physical interface has none. */
  readonly kind?: string;
  /** Only for a veth: the index of its other end, in the namespace of that end. */
  readonly peerIndex?: number;
  /** The kernel's number for the peer's namespace, if that is another one. */
  readonly peerNamespaceId?: number;
  /** Index of the bridge or switch that the link belongs to. */
  readonly master?: number;
  /** Index of the link of this namespace that it stands on, as a VLAN interface does. */
  readonly lower?: number;
}

const HEADER_LENGTH = 16;

/** Encodes struct ifinfomsg. */
const header = (index = 0, flags = 0, changed = 0): Buffer =>
  Buffer.concat([putU8(0), putU8(0), putU16(0), putS32(index), putU32(flags), putU32(changed)]);

const refer = (link: LinkReference): { index: number; name: string | undefined } =>
  'index' in link ? { index: link.index, name: undefined } : { index: 0, name: link.name };

export const describeLink = (link: LinkReference): string =>
  'name' in link ? link.name : `link ${link.index}`;

export interface VethRequest {
  readonly name: string;
  /** Undefined: the kernel chooses one at random. */
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  /** True brings this end up at once. The peer stays down. */
  readonly up?: boolean;
  readonly peer: {
    readonly name: string;
    readonly mac?: string | undefined;
    readonly mtu?: number | undefined;
    /** File descriptor of the peer's namespace. Undefined: the same namespace. */
    readonly namespaceFd?: number | undefined;
  };
}

/**
 * By default the kernel creates a veth with one queue for each processor, then removes all but one
 * and waits for the readers of each (`veth_init_queues` of drivers/net/veth.c).
 */
const ONE_QUEUE = [u32(IFLA_NUM_TX_QUEUES, 1), u32(IFLA_NUM_RX_QUEUES, 1)];

/**
 * Creates both ends with their names in their namespaces, because the kernel waits for its readers
 * (RCU) when a link is moved or renamed later. The peer is a separate message inside
 * IFLA_INFO_DATA: its ifinfomsg, then its attributes (linux/veth.h).
 * Equivalent to: ip link add NAME address MAC mtu MTU numtxqueues 1 numrxqueues 1 up
 *   type veth peer name PEER address MAC mtu MTU netns NS
 */
export const addVeth = ({ name, mac: ownMac, mtu, up = false, peer }: VethRequest): Request => {
  const peerMessage = payload(header(), [
    text(IFLA_IFNAME, peer.name),
    mac(IFLA_ADDRESS, peer.mac),
    u32(IFLA_MTU, peer.mtu),
    u32(IFLA_NET_NS_FD, peer.namespaceFd),
    ...ONE_QUEUE,
  ]);
  return change(
    `create veth ${name} with peer ${peer.name}`,
    RTM_NEWLINK,
    NLM_F_CREATE | NLM_F_EXCL,
    payload(up ? header(0, IFF_UP, IFF_UP) : header(), [
      text(IFLA_IFNAME, name),
      mac(IFLA_ADDRESS, ownMac),
      u32(IFLA_MTU, mtu),
      ...ONE_QUEUE,
      nested(
        IFLA_LINKINFO,
        text(IFLA_INFO_KIND, 'veth'),
        nested(IFLA_INFO_DATA, [VETH_INFO_PEER, peerMessage]),
      ),
    ]),
  );
};

export interface LinkSettings {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** At most 255 bytes. */
  readonly alias?: string;
  /** True makes the kernel send gratuitous ARP when the link comes up or its MAC is set. */
  readonly arpNotify?: boolean;
  /** False keeps the kernel from giving the link an IPv6 link-local address when it comes up. */
  readonly linkLocal?: false;
}

/** `inet6_set_link_af` of net/ipv6/addrconf.c. */
const NO_LINK_LOCAL = nested(
  IFLA_AF_SPEC,
  nested(AF_INET6, u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
);

/** Encodes one of net.ipv4.conf.LINK: `inet_set_link_af` of net/ipv4/devinet.c. */
const ipv4Setting = (setting: number, on: boolean): Attribute =>
  nested(IFLA_AF_SPEC, nested(AF_INET, nested(IFLA_INET_CONF, u32(setting, on ? 1 : 0))));

/**
 * Equivalent to: ip link set LINK up mtu MTU address MAC alias TEXT;
 * sysctl -w net.ipv4.conf.LINK.arp_notify=1; ip link set LINK addrgenmode none
 */
export const setLink = (link: LinkReference, settings: LinkSettings): Request => {
  const { index, name } = refer(link);
  const flags = settings.up === true ? IFF_UP : 0;
  const changed = settings.up === undefined ? 0 : IFF_UP;
  return change(
    `set ${Object.keys(settings).join(', ')} of ${describeLink(link)}`,
    RTM_SETLINK,
    0,
    payload(header(index, flags, changed), [
      text(IFLA_IFNAME, name),
      u32(IFLA_MTU, settings.mtu),
      mac(IFLA_ADDRESS, settings.mac),
      settings.alias === undefined ? undefined : [IFLA_IFALIAS, Buffer.from(settings.alias)],
      settings.arpNotify === undefined ? undefined : ipv4Setting(IPV4_DEVCONF_ARP_NOTIFY, settings.arpNotify),
      settings.linkLocal === false ? NO_LINK_LOCAL : undefined,
    ]),
  );
};

/** The link must be down. Equivalent to: ip link set LINK name NEW */
export const renameLink = (link: NamedLink, newName: string): Request =>
  change(
    `rename ${link.name} to ${newName}`,
    RTM_SETLINK,
    0,
    payload(header(link.index), [text(IFLA_IFNAME, newName)]),
  );

/** Deleting one end of a veth deletes both. Equivalent to: ip link delete LINK */
export const removeLink = (link: LinkReference): Request => {
  const { index, name } = refer(link);
  return change(
    `delete ${describeLink(link)}`,
    RTM_DELLINK,
    0,
    payload(header(index), [text(IFLA_IFNAME, name)]),
  );
};

/** Fails with ENODEV when the link does not exist. Equivalent to: ip link show LINK */
export const showLink = (link: LinkReference): Request<Link> => {
  const { index, name } = refer(link);
  return {
    operation: `look up ${describeLink(link)}`,
    type: RTM_GETLINK,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    payload: payload(header(index), [text(IFLA_IFNAME, name), u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)]),
    decode: ([reply]) => {
      if (reply === undefined)
        throw new TypeError(`the kernel acknowledged ${describeLink(link)} without it`);
      return decodeLink(reply);
    },
  };
};

/** Lists all links. Equivalent to: ip link show */
export const showLinks = (): Request<Link[]> =>
  dump(
    'list links',
    RTM_GETLINK,
    payload(header(), [u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)]),
    decodeLink,
  );

export const decodeLink = ({ payload: message }: Reply): Link => {
  const attributes = readAttributes(message, HEADER_LENGTH);
  const info = readAttributes(attributes.get(IFLA_LINKINFO) ?? Buffer.alloc(0), 0);
  const kind = readText(info.get(IFLA_INFO_KIND));
  const alias = readText(attributes.get(IFLA_IFALIAS));
  const other = readNumber(attributes.get(IFLA_LINK));
  const otherNamespace = attributes.get(IFLA_LINK_NETNSID);
  const master = readNumber(attributes.get(IFLA_MASTER));
  return {
    index: readS32.call(message, 4),
    name: readText(attributes.get(IFLA_IFNAME)) ?? '',
    mac: readMac(attributes.get(IFLA_ADDRESS) ?? Buffer.alloc(0)),
    mtu: readNumber(attributes.get(IFLA_MTU)) ?? 0,
    up: (readU32.call(message, 8) & IFF_UP) !== 0,
    carrier: attributes.get(IFLA_CARRIER)?.[0] === 1,
    operational: attributes.get(IFLA_OPERSTATE)?.[0] === IF_OPER_UP,
    promiscuity: readNumber(attributes.get(IFLA_PROMISCUITY)) ?? 0,
    ...(alias !== undefined && { alias }),
    ...(kind !== undefined && { kind }),
    ...(kind === 'veth' && other !== undefined && { peerIndex: other }),
    ...(otherNamespace !== undefined && { peerNamespaceId: readS32.call(otherNamespace, 0) }),
    ...(master !== undefined && { master }),
    ...(kind !== 'veth' && !!other && otherNamespace === undefined && { lower: other }),
  };
};
