/** How ranges are written: on the command line, in tables and in JSON. */
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../ipam/model/address.ts';
import type { Range, Route } from '../../ipam/model/range.ts';
import type { PodsOfNode } from '../../ipam/query/living-pods.ts';
import { CommandError } from '../context/errors.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';

/** Parses `10.96.0.0/12 via 10.20.0.2`, or `10.96.0.0/12` for a route by the gateway. */
export function parseRoute(text: string): Route {
  const [destination, word, hop, ...rest] = text.trim().split(/\s+/);
  if (
    destination === undefined ||
    rest.length > 0 ||
    (word !== undefined && (word !== 'via' || hop === undefined))
  ) {
    throw new CommandError(`--route '${text}': expected 'SUBNET via ADDRESS', or 'SUBNET' by the gateway`);
  }
  return {
    destination: parseCidr(destination, 'route'),
    ...(hop !== undefined && { via: parseAddress(hop, 'next hop') }),
  };
}

export function routeText(route: Route): string {
  return route.via
    ? `${formatCidr(route.destination)} via ${formatAddress(route.via)}`
    : formatCidr(route.destination);
}

export const routeJson = ({ destination, via }: Route): object => ({
  destination: formatCidr(destination),
  via: via ? formatAddress(via) : null,
});

export const gatewayText = ({ gateway }: Pick<Range, 'gateway'>): string =>
  gateway ? formatAddress(gateway) : 'none';

export const listText = (items: readonly string[]): string => (items.length === 0 ? '-' : items.join(', '));

export function hasDefaultRoute({ gateway, routes }: Range): boolean {
  return gateway !== undefined || routes.some(({ destination }) => destination.prefixLength === 0);
}

/** Says what pods of a range without a default route reach. */
export function noDefaultRouteText({ name, cidr, routes }: Range): string {
  const reachable = [cidr, ...routes.map(({ destination }) => destination)].map(formatCidr).join(', ');
  return `no gateway: pods get no default route; they reach ${reachable} only. For pods that are made later: cnictl range set ${name} --gateway ADDRESS`;
}

/** Most nodes that a line names. */
const NAMED = 10;

export const sumOf = (nodes: readonly PodsOfNode[]): number => nodes.reduce((sum, { pods }) => sum + pods, 0);

/** Returns `12 pods on node-1 (7), node-2 (5)`. */
export function podsText(nodes: readonly PodsOfNode[]): string {
  const named = nodes.slice(0, NAMED).map(({ node, pods }) => `${printable(node)} (${pods})`);
  const more = nodes.length > NAMED ? ` and ${nodes.length - NAMED} more nodes` : '';
  return `${plural(sumOf(nodes), 'pod')} on ${named.join(', ')}${more}`;
}
