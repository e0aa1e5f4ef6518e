import type { Flow } from '../openflow/program.ts';
import { macOf } from '../../ipam/model/mac.ts';
import type { Endpoint } from '../services/frontend.ts';
import { macNumber } from './local-pod.ts';
import { ip, to, value } from './match.ts';
import type { RangeMap } from './range-map.ts';
import { cookieOf, MARK_POD, NORMAL, TABLE, VLAN_REGISTER, vlanNumber } from './tables.ts';

/**
 * Returns the flow by which pods of its VLAN reach an IPv6 endpoint of another node without their
 * gateway. For IPv4 one flow serves a whole range ({@link rangeFlows}).
 * @returns undefined if nothing tells its MAC: it is reached by the gateway
 */
export function macFlow(endpoint: Endpoint, ranges: RangeMap): Flow | undefined {
  const range = ranges.at(endpoint.address);
  const mac = range && macOfPod(endpoint, range.vlan, ranges);
  if (!range || mac === undefined) return undefined;
  const vlan = value(VLAN_REGISTER, vlanNumber(range.vlan));
  return {
    ...{ table: TABLE.endpoint, priority: 210, cookie: cookieOf('service') },
    match: [vlan, value('ct_mark', MARK_POD), ip(6), to(endpoint.address)],
    actions: [{ kind: 'set', to: value('eth_dst', macNumber(mac)) }, NORMAL],
  };
}

/** A pod's MAC follows from its IPv4 address, and from the IPv6 one only where it has no other. */
function macOfPod(
  { address, ipv4 }: Endpoint,
  vlan: number | undefined,
  ranges: RangeMap,
): string | undefined {
  const range = ipv4 && ranges.at(ipv4);
  if (ipv4 && range && range.vlan === vlan) return macOf([ipv4]);
  return ranges.hasIpv4(vlan) ? undefined : macOf([address]);
}
