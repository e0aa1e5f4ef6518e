import type { LocalPod } from '../../cni/dataplane/local-pod.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { CLIENT_PORT, type TraceTarget } from './trace-target.ts';

/**
 * The destination MAC of packets that go to the gateway. Any MAC that the bridge has not learned
 * does: no flow looks at the gateway's.
 */
export const ANY_GATEWAY = '02:ce:11:00:00:01';

/**
 * Returns the packet in the syntax of ovs-fields(7). A fixed hash lets Open vSwitch choose a bucket
 * of a group, which it does by the hash of a packet that it has not at hand.
 * @param mac the destination's
 */
export function flowText(pod: LocalPod, source: Address, mac: string, target: TraceTarget): string {
  const { address, protocol } = target;
  const [v4, side] = [address.family === 4, address.family === 4 ? 'nw' : 'ipv6'];
  const fields = [
    `in_port=${pod.ofport}`,
    `dl_src=${macText(pod.mac)}`,
    `dl_dst=${mac}`,
    v4 ? protocol : `${protocol}6`,
    `${side}_src=${formatAddress(source)}`,
    `${side}_dst=${formatAddress(address)}`,
    'nw_ttl=64',
    ...(target.port === undefined
      ? [v4 ? 'icmp_type=8,icmp_code=0' : 'icmpv6_type=128,icmpv6_code=0']
      : [`${protocol}_src=${CLIENT_PORT}`, `${protocol}_dst=${target.port}`]),
    'dp_hash=1',
  ];
  return fields.join(',');
}

/** A pod reaches a pod of its VLAN on this bridge by its MAC, all others by its gateway. */
export function destinationMac(pod: LocalPod, others: readonly LocalPod[], { address }: TraceTarget): string {
  const other = others.find(
    ({ vlan, addresses }) =>
      vlan === pod.vlan &&
      addresses.some(({ family, value }) => family === address.family && value === address.value),
  );
  return other ? macText(other.mac) : ANY_GATEWAY;
}

export const macText = (mac: bigint): string =>
  mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
