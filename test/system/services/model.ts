/**
 * What a bridge is to do with the first packet of a connection, told a second time and without
 * flows: a test holds the bridge's program against it.
 */
import { macNumber, type LocalPod } from '../../../cni/dataplane/local-pod.ts';
import type { RangePlace } from '../../../cni/dataplane/range-flows.ts';
import { macOf } from '../../../ipam/model/mac.ts';
import type { Frontend } from '../../../cni/services/frontend.ts';
import { cidrContains, sameAddress, spanContains, type Address } from '../../../ipam/model/address.ts';

export interface SmallWorld {
  readonly pods: readonly LocalPod[];
  readonly ranges: readonly RangePlace[];
  readonly frontends: readonly Frontend[];
}

export interface FirstPacket {
  /** Undefined: it comes by the uplink. */
  readonly from: LocalPod | undefined;
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: 6 | 17 | 132;
  readonly port: number;
  /** MAC that it is to. */
  readonly mac: bigint;
}

/** Where the packet goes, and as what. */
export interface Fate {
  readonly outcome: 'NORMAL' | 'IN_PORT' | 'refused' | 'dropped';
  readonly destination?: Address;
  readonly port?: number;
  readonly mac?: bigint;
}

/** Returns all that may happen: each endpoint is as good as the other. */
export function fatesOf(world: SmallWorld, packet: FirstPacket): Fate[] {
  const { from, source, destination, protocol, port, mac } = packet;
  const unchanged: Fate = { outcome: 'NORMAL', destination, port, mac };
  if (!from) return [unchanged];
  const at = world.frontends.filter(({ address }) => sameAddress(address, destination));
  const frontend = at.find((each) => each.protocol === protocol && each.port === port);
  if (!frontend) return at.some(({ kind }) => kind === 'cluster') ? [{ outcome: 'refused' }] : [unchanged];
  const { sourceRanges, endpoints } = frontend;
  if (sourceRanges && !sourceRanges.some((range) => cidrContains(range, source)))
    return [{ outcome: 'dropped' }];
  if (endpoints.length === 0) return [{ outcome: 'refused' }];
  return endpoints.map(({ address, port: endpointPort }) => ({
    ...wayTo(world, from, address, mac),
    ...{ destination: address, port: endpointPort },
  }));
}

function wayTo(
  { pods, ranges }: SmallWorld,
  from: LocalPod,
  address: Address,
  gateway: bigint,
): Pick<Fate, 'outcome' | 'mac'> {
  const has = (pod: LocalPod): boolean => pod.addresses.some((each) => sameAddress(each, address));
  if (has(from)) return { outcome: 'IN_PORT', mac: from.mac };
  const near = pods.find((pod) => pod.vlan === from.vlan && has(pod));
  if (near) return { outcome: 'NORMAL', mac: near.mac };
  const range = ranges.find(({ cidr }) => cidrContains(cidr, address));
  const hasIpv4 = ranges.some(({ cidr, vlan }) => cidr.base.family === 4 && vlan === from.vlan);
  const isPod =
    range?.vlan === from.vlan &&
    (address.family === 4 || !hasIpv4) &&
    !(range?.gateway && sameAddress(range.gateway, address)) &&
    !range?.exclude.some((span) => spanContains(span, address));
  return { outcome: 'NORMAL', mac: isPod ? macNumber(macOf([address])) : gateway };
}
