/** The pod's end of a veth, inside the pod's namespace. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cidrSpan, formatAddress, parseAddress, subnetOf } from '../../ipam/model/address.ts';
import {
  addAddress,
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
  /** As 'eth0'; the link exists, see createVeth. */
  readonly name: string;
  /** IPv6 is switched off when none of them is IPv6. */
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  /** Its own. */
  readonly mac: string;
  /** Let the kernel announce the addresses once both ends are there, and whenever the link comes up or its MAC is set. */
  readonly announce: boolean;
  /** False: packets leave with whole checksums, as the userspace datapath of Open vSwitch needs. True: as it was. */
  readonly checksumOffload: boolean;
}

/** Runs `fn` inside with a socket for ioctls on the link, which must exist. */
const insideWithLink = <T>(
  namespace: NetworkNamespace,
  name: string,
  fn: (fd: number, link: NamedLink) => T,
): T =>
  inNamespace(namespace, () => {
    // Any socket of the namespace takes these ioctls; that which the kernel is asked by next saves another.
    const fd = borrowSocket(namespace);
    try {
      return fn(fd, { index: linkIndex(fd, name), name });
    } finally {
      namespace.leaveSocket(fd);
    }
  });

const hasIpv6 = (addresses: readonly InterfaceAddress[]): boolean =>
  addresses.some(({ address }) => familyOf(address) === 6);

/** What must stand before the link is up. Synchronous. */
const prepare = (fd: number, { name, addresses, checksumOffload }: PodInterfaceOptions): void => {
  if (hasIpv6(addresses)) {
    writeSetting(name, 'ipv6/disable_ipv6', 0);
    writeSetting(name, 'ipv6/accept_dad', 0);
    // Addresses and routes come from IPAM alone; this also ends the router solicitations, which the network floods.
    writeSetting(name, 'ipv6/accept_ra', 0);
  } else disableIpv6(name);
  if (!checksumOffload) disableTxChecksumOffload(fd, name);
};

const broadcastOf = ({ address, prefixLength }: InterfaceAddress): string | undefined => {
  const parsed = parseAddress(address);
  if (parsed.family === 6 || prefixLength >= 31) return undefined;
  return formatAddress(cidrSpan(subnetOf(parsed, prefixLength)).last);
};

/**
 * The settings of the pod's end, which must stand before it is up. Synchronous. Done again with the same values, it changes nothing.
 * Equivalent to: sysctl -w …; ethtool --features …
 * @throws NetlinkError: ENODEV without such a link
 */
export const preparePodInterface = (namespace: NetworkNamespace, options: PodInterfaceOptions): NamedLink =>
  insideWithLink(namespace, options.name, (fd, link) => {
    prepare(fd, options);
    return link;
  });

/**
 * Gives the prepared end its addresses, sets it up, then its routes, in one message. Whether the host's end is up by then is all the same:
 * see announcePodInterface. Done again with the same values, it changes nothing.
 * `leftOut` has the routes that another interface of the pod leads to already: the first interface wins.
 * Equivalent to: ip address replace … ; ip link set NAME up; ip route add …
 * @throws NetlinkError: ENETUNREACH or EHOSTUNREACH for a gateway in no subnet of the interface; EEXIST when another route of the same
 *   interface to the same destination stands
 */
export const bringUpPodInterface = async (
  namespace: NetworkNamespace,
  link: NamedLink,
  { addresses, routes }: PodInterfaceOptions,
): Promise<{ readonly leftOut: readonly Route[] }> => {
  const leftOut: Route[] = [];
  const assign = addresses.map((address) =>
    addAddress(link, address, { broadcast: broadcastOf(address), replace: true }),
  );
  const outcomes = await attemptOnce(namespace, [
    ...assign,
    setLink(link, { up: true }),
    ...routes.map((route) => addRoute(link, route)),
  ]);
  for (const [position, { error }] of outcomes.entries()) {
    if (error === undefined) continue;
    const route = routes[position - assign.length - 1];
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

/** Longest wait for the kernel to see that both ends are up, in milliseconds: nearly always it has. */
const OPERATIONAL_WITHIN_MS = 1_000;

/**
 * Has the kernel let packets through, and announce the addresses by gratuitous ARP and unsolicited neighbour advertisement where that is asked
 * for: to be called when both ends are up and the host's is attached. Until linkwatch has seen the carrier, a veth drops
 * what it is to send; a kernel of 6.8 or newer looks as it is asked for the link (`linkwatch_sync_dev` in `rtnl_getlink`), an older
 * one a moment later: it is waited for, a second at most. The kernel announces as the MAC is set, though it stays what it was (NETDEV_CHANGEADDR:
 * `inetdev_event`, `ndisc_netdev_event`).
 * Equivalent to: ip link show NAME; ip link set NAME address MAC
 * @throws NetlinkError
 */
export const announcePodInterface = async (
  namespace: NetworkNamespace,
  link: NamedLink,
  { announce, mac, addresses }: PodInterfaceOptions,
): Promise<void> => {
  // Not before: as the link came up, nobody may have been there to hear it.
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
  /** Of the whole namespace, the kernel's own for subnets included (protocol 2): another interface may lead there. */
  readonly routes: readonly InstalledRoute[];
  readonly txChecksumOffload: boolean;
}

/**
 * What the pod's end is now, or undefined when the pod has no link of that name.
 * Equivalent to: ip address show dev NAME; ip route show table all dev NAME; ethtool --show-features NAME
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
      const [routes] = await socket.read([showRoutes()]); // The kernel lists one thing at a time.
      return { link, addresses, routes, txChecksumOffload };
    }),
  );

/** Deletes both ends. Equivalent to: ip -n NAMESPACE link delete NAME */
export const deletePodInterface = (namespace: NetworkNamespace, name: string): Promise<Deletion> =>
  withRtnetlink(namespace, (socket) => deleteLink(socket, { name }));
