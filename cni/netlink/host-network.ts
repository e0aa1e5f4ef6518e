/** The host's own addresses and routes, and how they go from one of its links to another. */
import { hasCode } from '../../ipam/model/errors.ts';
import {
  placeAddress,
  placeRoute,
  showHostAddresses,
  showHostRoutes,
  takeAddress,
  takeRoute,
  type Carried,
  type HostAddress,
  type HostRoute,
} from './carried-messages.ts';
import { AF_INET6 } from './kernel.ts';
import { setLink, showLinks, type Link } from './link-messages.ts';
import { getLink } from './links.ts';
import { hostNamespace, inNamespace } from './netns.ts';
import { showRules, type RoutingRule } from './rule-messages.ts';
import { withRtnetlink } from './rtnetlink.ts';
import { readSetting, writeSetting } from './sysctl.ts';

export interface HostNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly HostAddress[];
  readonly routes: readonly HostRoute[];
  readonly rules: readonly RoutingRule[];
}

/** What one link carries for the host. */
export interface Baggage {
  /** In the kernel's order, in which a subnet's primary address comes first. */
  readonly addresses: readonly Carried[];
  /** In the order in which they can be added: subnets before what is reached by a gateway. */
  readonly routes: readonly Carried[];
}

/**
 * Equivalent to: ip link; ip address; ip route show table all; ip rule
 * @throws NetlinkError
 */
export const readHostNetwork = (): Promise<HostNetwork> =>
  withRtnetlink(hostNamespace(), async (socket) => {
    // For one socket the kernel runs one dump at a time.
    const [links] = await socket.read([showLinks()]);
    const [addresses] = await socket.read([showHostAddresses()]);
    const [routes] = await socket.read([showHostRoutes()]);
    const rules = await socket.read([showRules()]).then(
      ([found]) => found,
      // A kernel may be made without policy routing.
      (error: unknown) => {
        if (hasCode(error, 'EOPNOTSUPP')) return [];
        throw error;
      },
    );
    return { links, addresses, routes, rules };
  });

/** Returns the host's link, or undefined when there is none. Equivalent to: ip link show NAME */
export const readHostLink = (name: string): Promise<Link | undefined> =>
  withRtnetlink(hostNamespace(), (socket) => getLink(socket, name));

/** Refusals that say that what was to be removed is gone: a route, an address, the link. */
const GONE = ['ESRCH', 'EADDRNOTAVAIL', 'ENODEV'];

/**
 * Moves the baggage in one message, which the kernel carries out in a millisecond or two: the host
 * is without the addresses no longer than that. A repeated call changes nothing. Sets the link up
 * first.
 * @param from undefined: the link is gone, with what it carried
 * @param label the link that the labels are of, if they are to be renamed
 * @throws NetlinkError of the first addition that failed; the others have been carried out
 */
export const moveBaggage = async (
  { addresses, routes }: Baggage,
  from: Link | undefined,
  to: Link,
  label?: string,
): Promise<void> => {
  const removals = from
    ? [
        ...routes.map((route) => takeRoute(route, from)).reverse(),
        // With the primary address of a subnet the kernel removes the others too.
        ...addresses.map((address) => takeAddress(address, from)).reverse(),
      ]
    : [];
  const additions = [
    ...addresses.map((address) => placeAddress(address, to, label)),
    ...routes.map((route) => placeRoute(route, to)),
  ];
  const up = setLink(to, { up: true });
  const outcomes = await withRtnetlink(hostNamespace(), (socket) =>
    socket.attempt([up, ...removals, ...additions]),
  );
  for (const [position, { error }] of outcomes.entries()) {
    const harmless = position > 0 && position <= removals.length ? GONE : ['EEXIST'];
    if (error && !harmless.includes(error.code)) throw error;
  }
};

/** struct ifaddrmsg and struct rtmsg begin with the family. */
export const hasIpv6 = ({ addresses, routes }: Baggage): boolean =>
  [...addresses, ...routes].some(({ message }) => Buffer.from(message, 'hex')[0] === AF_INET6);

/** Lets a link have IPv6 addresses, where new links of this host have none. */
export const enableIpv6 = (link: string): void => {
  inNamespace(hostNamespace(), () => writeSetting(link, 'ipv6/disable_ipv6', 0));
};

/** Returns net.ipv6.conf.LINK.accept_ra; undefined on a kernel without IPv6. */
export const readAcceptRa = (link: string): number | undefined =>
  inNamespace(hostNamespace(), () => {
    try {
      return readSetting(link, 'ipv6/accept_ra');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  });

/** Sets whether the kernel takes addresses and routes from router advertisements on the link. */
export const writeAcceptRa = (link: string, value: number): void => {
  inNamespace(hostNamespace(), () => writeSetting(link, 'ipv6/accept_ra', value));
};
