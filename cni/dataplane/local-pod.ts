import { parseAddress, type Address } from '../../ipam/model/address.ts';
import { macOf } from '../../ipam/model/mac.ts';
import type { PortLimits } from '../protocol/limits.ts';

/** A pod's interface on the bridge. */
export interface LocalPod {
  /** Name of its port. */
  readonly port: string;
  /** OpenFlow number of the port. */
  readonly ofport: number;
  /** Access VLAN, or that of untagged frames. Absent: the frames have no VLAN. */
  readonly vlan: number | undefined;
  /** MAC of the pod's end: 48 bits. */
  readonly mac: bigint;
  readonly addresses: readonly Address[];
  readonly limits?: PortLimits;
}

/** A port of ours, as Open vSwitch's database tells it. */
export interface PodPort {
  readonly name: string;
  readonly tag: number | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
  readonly ofport: number | undefined;
}

/** What the node's record of an attachment tells. */
export interface RecordedPod {
  readonly mac?: string | undefined;
  readonly limits?: PortLimits | undefined;
}

/** Returns the pod at a port; undefined as long as the port does not forward. */
export function localPodOf(
  { name, ofport, tag, externalIds }: PodPort,
  { mac, limits }: RecordedPod,
): LocalPod | undefined {
  if (ofport === undefined || ofport <= 0) return undefined;
  const addresses = addressesMarked(externalIds);
  if (mac === undefined && addresses.length === 0) return undefined;
  return {
    ...{ port: name, ofport, vlan: tag, addresses },
    mac: macNumber(mac ?? macOf(addresses)),
    ...(limits && { limits }),
  };
}

/** Returns the addresses that external_ids of a port name. */
export const addressesMarked = (externalIds: PodPort['externalIds']): Address[] =>
  (externalIds['ip'] ?? '').split(',').flatMap(addressIn);

export const macNumber = (mac: string): bigint => BigInt(`0x${mac.replaceAll(':', '')}`);

function addressIn(text: string): Address[] {
  try {
    return [parseAddress(text.trim())];
  } catch {
    return [];
  }
}
