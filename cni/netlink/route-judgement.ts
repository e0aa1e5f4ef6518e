/** Interprets the kernel's answers about routes. Pure. */
import {
  cidrContains,
  formatAddress,
  parseAddress,
  parseAddressInSubnet,
  subnetOf,
} from '../../ipam/model/address.ts';
import type { InterfaceAddress } from './address-messages.ts';
import { NetlinkError } from './errors.ts';
import { RT_TABLE_MAIN } from './kernel.ts';
import type { NamedLink } from './link-messages.ts';
import type { InstalledRoute, Route } from './route-messages.ts';

/** The kernel's priority for IPv6 routes without one (IP6_RT_PRIO_USER of net/ip6_route.h). */
const IPV6_DEFAULT_PRIORITY = 1024;

const canonicalAddress = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : formatAddress(parseAddress(text));

/** Returns true when both routes have the same destination, table and priority. */
const isInPlaceOf = (wanted: Route, installed: InstalledRoute): boolean => {
  const { address, prefixLength } = parseAddressInSubnet(wanted.dst, 'route');
  const defaultPriority = address.family === 6 ? IPV6_DEFAULT_PRIORITY : 0;
  return (
    installed.dst === `${formatAddress(address)}/${prefixLength}` &&
    installed.table === (wanted.table ?? RT_TABLE_MAIN) &&
    installed.priority === (wanted.priority ?? defaultPriority)
  );
};

/**
 * Returns true when a refusal with EEXIST is no error: the installed route is the wanted one, or
 * another interface of the pod already serves it. The first interface wins, as with the reference
 * plugins: a second interface adds no second default route.
 */
export const isServedBy = (link: NamedLink, wanted: Route, installed: InstalledRoute): boolean =>
  isInPlaceOf(wanted, installed) &&
  (installed.linkIndex !== link.index || installed.gateway === canonicalAddress(wanted.gateway));

/** Returns true when another interface of the pod already serves the wanted route. */
export const isServedElsewhere = (link: NamedLink, wanted: Route, installed: InstalledRoute): boolean =>
  installed.linkIndex !== link.index && isInPlaceOf(wanted, installed);

const isReachable = (gateway: string, { address, prefixLength }: InterfaceAddress): boolean =>
  cidrContains(subnetOf(parseAddress(address), prefixLength), parseAddress(gateway));

/**
 * Explains a refused route: the gateway is in no subnet, or another route has the destination.
 * Other refusals keep the kernel's text.
 */
export const explainRouteError = (
  error: NetlinkError,
  { dst, gateway, onlink }: Route,
  { name }: NamedLink,
  addresses: readonly InterfaceAddress[],
): NetlinkError => {
  const explain = (explanation: string): NetlinkError =>
    new NetlinkError(error.errno, error.operation, {
      explanation,
      kernelMessage: error.kernelMessage,
      cause: error,
    });
  if (error.code === 'EEXIST') return explain(`there is another route to ${dst} with the same priority`);
  const unreachable = ['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL'].includes(error.code);
  if (!unreachable || gateway === undefined || onlink === true) return error;
  if (addresses.some((address) => isReachable(gateway, address))) return error;
  const subnets = addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`).join(', ');
  return explain(`gateway ${gateway} is in no subnet of ${name} (${subnets || 'no address'})`);
};
