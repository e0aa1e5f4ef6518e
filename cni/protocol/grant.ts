import type { Allocation } from '../../ipam/allocate/allocation.ts';
import {
  formatAddress,
  formatCidr,
  parseAddress,
  parseAddressInSubnet,
  type Address,
} from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { decodeValue, withoutNullMembers } from '../../ipam/records/decode.ts';
import { CniError } from './errors.ts';
import { IF_RESULT, type CniIp, type CniResult, type CniRoute } from './result.ts';

/**
 * What IPAM assigned to an attachment: an IPAM result (CNI SPEC section 4 "Delegated plugins"), and
 * the VLAN for the port.
 */
export interface Grant {
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns?: unknown;
  /** VLAN ID of the range; undefined when untagged or when another IPAM plugin made the result. */
  readonly vlan: number | undefined;
  /** What our IPAM allocated; empty when another IPAM plugin made the result. */
  readonly allocations: readonly GrantedAddress[];
}

/** One allocation of our IPAM. */
export interface GrantedAddress {
  /** With the prefix length of the range. */
  readonly address: string;
  /** Name of the range. */
  readonly range: string;
  /** Name of the rule whose own block it is of; absent: a node's. */
  readonly rule?: string;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
  /** True if the address must be proven free on the wire before the pod uses it. */
  readonly unproven: boolean;
  /** True if it was kept for the pod: switches may know it at another port. */
  readonly kept: boolean;
  /** True if gateway or routes of the range were changed once: a pod may have former ones. */
  readonly routesChanged: boolean;
}

/** A pod's address has the mask and gateway of its range, not of its block: the network is flat. */
export function grantOf(allocations: readonly Allocation[]): Grant {
  const sorted = [...allocations].sort((a, b) => a.address.family - b.address.family);
  return {
    ips: sorted.map(({ address, range }) => ({
      address: `${formatAddress(address)}/${range.cidr.prefixLength}`,
      ...(range.gateway && { gateway: formatAddress(range.gateway) }),
    })),
    routes: sorted.flatMap(routesOf),
    vlan: sorted[0]?.range.vlan,
    allocations: sorted.map(({ address, range, rule, slot, unproven }) => ({
      address: `${formatAddress(address)}/${range.cidr.prefixLength}`,
      range: range.name,
      ...(rule !== undefined && { rule }),
      allocatedAt: slot.allocatedAt,
      unproven,
      kept: slot.keep !== undefined && slot.keep.since !== slot.allocatedAt,
      // Not by the time of the change: the clock of this node may be another.
      routesChanged: range.routesChangedAt !== undefined,
    })),
  };
}

function routesOf({ range }: Allocation): CniRoute[] {
  const { gateway } = range;
  const everywhere = range.cidr.base.family === 4 ? '0.0.0.0/0' : '::/0';
  const further = range.routes.map((route) => {
    const via = route.via ?? gateway;
    return { dst: formatCidr(route.destination), ...(via && { gw: formatAddress(via) }) };
  });
  return [...(gateway ? [{ dst: everywhere, gw: formatAddress(gateway) }] : []), ...further];
}

const notAResult = (type: string, reason: string): CniError =>
  new CniError('delegate-failed', `IPAM plugin '${type}' replied with what is no IPAM result: ${reason}`);

/** @throws CniError 104 when the delegate's reply is not an IPAM result */
export function grantOfDelegate(type: string, stdout: string): Grant {
  const wrong = (reason: string): CniError => notAResult(type, reason);
  let json: unknown;
  try {
    json = JSON.parse(stdout);
  } catch (cause) {
    throw wrong(messageOf(cause));
  }
  const result = decodeValue(IF_RESULT, withoutNullMembers(json));
  if (!result.ok) throw wrong(result.problem.message);
  return grantOfResult(type, result.value);
}

/** @throws CniError 104 when the result has no address; IpamError `invalid` */
export function grantOfResult(type: string, result: CniResult): Grant {
  const { ips = [], routes = [], dns } = result;
  if (ips.length === 0) throw notAResult(type, 'it has no address');
  for (const ip of ips) {
    parseAddressInSubnet(ip.address, `address of IPAM plugin '${type}'`);
    if (ip.gateway !== undefined) parseAddress(ip.gateway, `gateway of IPAM plugin '${type}'`);
  }
  return {
    ips: ips.map(({ address, gateway }) => ({ address, ...(gateway !== undefined && { gateway }) })),
    routes,
    vlan: undefined,
    allocations: [],
    ...(dns !== undefined && { dns }),
  };
}

/** RT_SCOPE_LINK of linux/rtnetlink.h. A greater number is a smaller scope. */
const SCOPE_LINK = 253;

/** Returns the addresses without their prefix lengths. */
export function addressesOf(grant: Pick<Grant, 'ips'>): Address[] {
  return grant.ips.map((ip) => parseAddressInSubnet(ip.address).address);
}

/**
 * Returns the routes with the next hop that the kernel needs. A route without `gw` gets the gateway
 * of the first address of its family, if that has one (CNI SPEC section 5, `routes.gw`). A route
 * whose scope says that its destinations are on the link or the host itself gets none.
 */
export function resolveRoutes(grant: Pick<Grant, 'ips' | 'routes'>): CniRoute[] {
  return grant.routes.map((route) => {
    if (route.gw !== undefined || (route.scope ?? 0) >= SCOPE_LINK) return route;
    const ipv6 = route.dst.includes(':');
    const gateway = grant.ips.find((ip) => ip.address.includes(':') === ipv6)?.gateway;
    return gateway === undefined ? route : { ...route, gw: gateway };
  });
}

/** Returns the reply of the IPAM plugin, which has no interfaces. */
export function ipamResult(grant: Grant): CniResult {
  return { ips: grant.ips, routes: grant.routes, ...(grant.dns !== undefined && { dns: grant.dns }) };
}
