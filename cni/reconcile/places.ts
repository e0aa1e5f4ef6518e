import { etcdSettings, type EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { isOurIpam, isOurInterface, switchOf, type AttachmentRecord } from '../platform/node-records.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

/** The blocks that a survey reads: those of one node in one etcd cluster. */
export interface IpamPlace {
  readonly etcd: EtcdSettings;
  readonly node: string;
}

/** The places that this node's settings name, in the environment and the shared file. */
export interface OwnPlace {
  readonly stateDir: string;
  /** Undefined when the settings name no etcd; the records of the ADDs name it then. */
  readonly ipam: IpamPlace | undefined;
  /** Undefined when the settings name no Open vSwitch and the default socket does not exist. */
  readonly ovs: SwitchAddress | undefined;
  /** The bridge to ask the wire from, where no port tells of another. */
  readonly bridge: string;
}

type PlacedRecord = Pick<AttachmentRecord, 'ipamType' | 'mtu' | 'etcd' | 'node' | 'ovsdb' | 'ovsdbTls'>;

export const ipamPlaceOf = ({ etcd, node }: PlacedRecord): IpamPlace => ({ etcd: etcdSettings(etcd), node });

/**
 * Returns every etcd and node name from which this machine's attachments have addresses. Two
 * networks may name different ones.
 */
export function ipamPlaces(own: OwnPlace, records: readonly PlacedRecord[]): IpamPlace[] {
  return distinct([...(own.ipam ? [own.ipam] : []), ...records.filter(isOurIpam).map(ipamPlaceOf)]);
}

/** Returns every Open vSwitch in which this machine's attachments have ports. */
export function switches(own: OwnPlace, records: readonly PlacedRecord[]): SwitchAddress[] {
  return distinct([...(own.ovs ? [own.ovs] : []), ...records.filter(isOurInterface).map(switchOf)]);
}

function distinct<T>(places: readonly T[]): T[] {
  return [...new Map(places.map((place) => [JSON.stringify(place), place])).values()];
}
