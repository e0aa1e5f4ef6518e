/** What the kernel's answers about routes mean. Pure. */
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

/** What IPv6 routes get when no priority is asked for (IP6_RT_PRIO_USER of net/ip6_route.h). */
const IPV6_DEFAULT_PRIORITY = 1024;

const canonicalAddress = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : formatAddress(parseAddress(text));

/** Whether the installed route takes the wanted one's place: destination, table and priority. */
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
 * Whether a refusal because of an installed route (EEXIST) is none: it is the wanted one, or another interface of the pod
 * leads there already. The first interface wins, as with the reference plugins: a second one brings no second default route.
 */
export const isServedBy = (link: NamedLink, wanted: Route, installed: InstalledRoute): boolean =>
  isInPlaceOf(wanted, installed) &&
  (installed.linkIndex !== link.index || installed.gateway === canonicalAddress(wanted.gateway));

/** Whether another interface of the pod leads there already. */
export const isServedElsewhere = (link: NamedLink, wanted: Route, installed: InstalledRoute): boolean =>
  installed.linkIndex !== link.index && isInPlaceOf(wanted, installed);

const isReachable = (gateway: string, { address, prefixLength }: InterfaceAddress): boolean =>
  cidrContains(subnetOf(parseAddress(address), prefixLength), parseAddress(gateway));

/** Says which gateway is in no subnet, or that the destination is taken; other refusals keep the kernel's words. */
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
