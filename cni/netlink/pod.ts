/** The pod's end of a veth, in the pod's namespace. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cidrSpan, formatAddress, parseAddress, subnetOf } from '../../ipam/model/address.ts';
import {
  addAddress,
  removeAddress,
  showAddresses,
  type AssignedAddress,
  type InterfaceAddress,
} from './address-messages.ts';
import { familyOf } from './attributes.ts';
import { unlessGone } from './errors.ts';
import { disableTxChecksumOffload, hasTxChecksumOffload } from './ethtool.ts';
import { linkIndex } from './libc.ts';
import { setLink, showLink, type Link, type NamedLink } from './link-messages.ts';
import { deleteLink, type Deletion } from './links.ts';
import { inNamespace, type NetworkNamespace } from './netns.ts';
import { explainRouteError, isServedBy, isServedElsewhere } from './route-judgement.ts';
import { addRoute, showRoutes, type InstalledRoute, type Route } from './route-messages.ts';
import { attemptOnce, borrowSocket, withRtnetlink } from './rtnetlink.ts';
import { disableIpv6, writeSetting } from './sysctl.ts';

export interface PodInterfaceOptions {
  /** For example 'eth0'. The link exists: see createVeth. */
  readonly name: string;
  /** When none of them is IPv6, the plugin switches IPv6 off on the interface. */
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  /** The interface's MAC. */
  readonly mac: string;
  /**
   * True makes the kernel announce the addresses once both ends exist, and whenever the link comes
   * up or its MAC is set.
   */
  readonly announce: boolean;
  /**
   * False makes packets leave with complete checksums, as the userspace datapath of Open vSwitch
   * needs. True leaves the setting unchanged.
   */
  readonly checksumOffload: boolean;
}

/** Runs `fn` in the namespace with a socket for ioctls on the link, which must exist. */
const insideWithLink = <T>(
  namespace: NetworkNamespace,
  name: string,
  fn: (fd: number, link: NamedLink) => T,
): T =>
  inNamespace(namespace, () => {
    // Any socket of the namespace takes these ioctls. The next netlink request reuses this one.
    const fd = borrowSocket(namespace);
    try {
      return fn(fd, { index: linkIndex(fd, name), name });
    } finally {
      namespace.leaveSocket(fd);
    }
  });

const hasIpv6 = (addresses: readonly InterfaceAddress[]): boolean =>
  addresses.some(({ address }) => familyOf(address) === 6);

/** The pod's end with its settings. */
export interface PreparedLink extends NamedLink {
  /** False when IPv6 could not be switched off: the link must get no link-local address. */
  readonly linkLocal: boolean;
}

/**
 * Writes the settings that must be in place before the link is up. Synchronous. Returns false when
 * IPv6 could not be switched off.
 */
const prepare = (fd: number, { name, addresses, checksumOffload }: PodInterfaceOptions): boolean => {
  if (!checksumOffload) disableTxChecksumOffload(fd, name);
  if (hasIpv6(addresses)) {
    writeSetting(name, 'ipv6/disable_ipv6', 0);
    writeSetting(name, 'ipv6/accept_dad', 0);
    // Only IPAM assigns addresses and routes. This setting also stops the router solicitations,
    // which the network would flood.
    writeSetting(name, 'ipv6/accept_ra', 0);
    return true;
  }
  return disableIpv6(name);
};

const broadcastOf = ({ address, prefixLength }: InterfaceAddress): string | undefined => {
  const parsed = parseAddress(address);
  if (parsed.family === 6 || prefixLength >= 31) return undefined;
  return formatAddress(cidrSpan(subnetOf(parsed, prefixLength)).last);
};

/**
 * Writes the settings of the pod's end that must be in place before it is up. Synchronous. A
 * repeated call with the same values changes nothing.
 * Equivalent to: sysctl -w …; ethtool --features …
 * @throws NetlinkError ENODEV when no such link exists
 */
export const preparePodInterface = (
  namespace: NetworkNamespace,
  options: PodInterfaceOptions,
): PreparedLink =>
  insideWithLink(namespace, options.name, (fd, link) => ({ ...link, linkLocal: prepare(fd, options) }));

/**
 * Assigns the addresses to the prepared end, sets it up, then adds its routes, in one message. The
 * host's end may be up or down: see announcePodInterface. A repeated call with the same values
 * changes nothing. `leftOut` has the routes that another interface of the pod already serves: the
 * first interface wins.
 * Equivalent to: ip address replace … ; ip link set NAME up; ip route add …
 * @throws NetlinkError ENETUNREACH or EHOSTUNREACH for a gateway in no subnet of the interface;
 *   EEXIST when the interface has another route to the same destination
 */
export const bringUpPodInterface = async (
  namespace: NetworkNamespace,
  link: PreparedLink,
  { addresses, routes }: PodInterfaceOptions,
): Promise<{ readonly leftOut: readonly Route[] }> => {
  const leftOut: Route[] = [];
  const beforeRoutes = [
    ...(link.linkLocal ? [] : [setLink(link, { linkLocal: false })]),
    ...addresses.map((address) =>
      addAddress(link, address, { broadcast: broadcastOf(address), replace: true }),
    ),
    setLink(link, { up: true }),
  ];
  const outcomes = await attemptOnce(namespace, [
    ...beforeRoutes,
    ...routes.map((route) => addRoute(link, route)),
  ]);
  for (const [position, { error }] of outcomes.entries()) {
    if (error === undefined) continue;
    const route = routes[position - beforeRoutes.length];
    if (route === undefined) throw error;
    const [installed] =
      error.code === 'EEXIST'
        ? await withRtnetlink(namespace, (socket) => socket.read([showRoutes()]))
        : [[]];
    if (installed.some((other) => isServedElsewhere(link, route, other))) leftOut.push(route);
    else if (!installed.some((other) => isServedBy(link, route, other)))
      throw explainRouteError(error, route, link, addresses);
  }
  return { leftOut };
};

/**
 * Takes every address off the pod's end, which then answers for none. Nothing happens when the pod
 * has no link of that name.
 * Equivalent to: ip address flush dev NAME
 * @throws NetlinkError, NamespaceError
 */
export const clearPodAddresses = async (namespace: NetworkNamespace, name: string): Promise<void> => {
  await unlessGone(
    withRtnetlink(namespace, async (socket) => {
      const link = insideWithLink(namespace, name, (_, named) => named);
      const [addresses] = await socket.read([showAddresses(link)]);
      const outcomes = await socket.attempt(addresses.map((address) => removeAddress(link, address)));
      // The kernel removes secondary addresses of a subnet with the primary one.
      for (const { error } of outcomes) if (error && error.code !== 'EADDRNOTAVAIL') throw error;
    }),
  );
};

/** Longest wait for the kernel to see both ends up, in milliseconds. It rarely takes that long. */
const OPERATIONAL_WITHIN_MS = 1_000;

/**
 * Waits until the kernel lets packets through, and makes the kernel announce the addresses by
 * gratuitous ARP and unsolicited neighbour advertisement if `announce` is set. The caller calls it
 * when both ends are up and the host's end is attached. A veth drops outgoing packets until
 * linkwatch has seen the carrier. A kernel of 6.8 or newer checks the carrier when it is asked for
 * the link (`linkwatch_sync_dev` in `rtnl_getlink`). An older one checks it later, so this function
 * polls for up to a second, then announces again and returns. The kernel announces when the MAC is
 * set, even to the same value (NETDEV_CHANGEADDR: `inetdev_event`, `ndisc_netdev_event`).
 * Equivalent to: ip link show NAME; ip link set NAME address MAC
 * @throws NetlinkError
 */
export const announcePodInterface = async (
  namespace: NetworkNamespace,
  link: NamedLink,
  { announce, mac, addresses }: PodInterfaceOptions,
): Promise<void> => {
  // Not earlier: the kernel announces as the link comes up, when it may reach no neighbour yet.
  if (announce && hasIpv6(addresses))
    inNamespace(namespace, () => writeSetting(link.name, 'ipv6/ndisc_notify', 1));
  const announcement = announce ? [setLink(link, { mac })] : [];
  const [shown, ...announced] = await attemptOnce(namespace, [
    showLink(link),
    ...(announce ? [setLink(link, { arpNotify: true })] : []),
    ...announcement,
  ]);
  for (const { error } of announced) if (error) throw error;
  if (shown.error) throw shown.error;
  if (shown.answer.operational) return;
  const until = performance.now() + OPERATIONAL_WITHIN_MS;
  for (let operational = false; !operational && performance.now() < until;) {
    await sleep(1);
    const [again] = await attemptOnce(namespace, [showLink(link)]);
    if (again.error) throw again.error;
    ({ operational } = again.answer);
  }
  const [late] = await attemptOnce(namespace, announcement);
  if (late?.error) throw late.error;
};

export interface PodInterface {
  readonly link: Link;
  readonly addresses: readonly AssignedAddress[];
  /**
   * Routes of the whole namespace, because another interface may serve a destination. Includes the
   * kernel's own routes for subnets (protocol 2).
   */
  readonly routes: readonly InstalledRoute[];
  readonly txChecksumOffload: boolean;
}

/**
 * Returns the current state of the pod's end, or undefined when the pod has no link of that name.
 * Equivalent to: ip address show dev NAME; ip route show table all dev NAME;
 * ethtool --show-features NAME
 * @throws NetlinkError, NamespaceError
 */
export const readPodInterface = (
  namespace: NetworkNamespace,
  name: string,
): Promise<PodInterface | undefined> =>
  unlessGone(
    withRtnetlink(namespace, async (socket) => {
      const { found, txChecksumOffload } = insideWithLink(namespace, name, (fd, named) => ({
        found: named,
        txChecksumOffload: hasTxChecksumOffload(fd, name),
      }));
      const [link, addresses] = await socket.read([showLink(found), showAddresses(found)]);
      // For one socket the kernel runs one dump at a time.
      const [routes] = await socket.read([showRoutes()]);
      return { link, addresses, routes, txChecksumOffload };
    }),
  );

/** Deletes both ends of the veth. Equivalent to: ip -n NAMESPACE link delete NAME */
export const deletePodInterface = (namespace: NetworkNamespace, name: string): Promise<Deletion> =>
  withRtnetlink(namespace, (socket) => deleteLink(socket, { name }));
