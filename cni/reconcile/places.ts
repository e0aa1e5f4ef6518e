import { etcdSettings, type EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { isOurIpam, isOurWire, switchOf, type AttachmentRecord } from '../platform/node-records.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

/** Whose blocks are looked at: a node's, in one etcd cluster. */
export interface IpamPlace {
  readonly etcd: EtcdSettings;
  readonly node: string;
}

/** What the settings of this node name: environment and shared file. */
export interface OwnPlace {
  readonly stateDir: string;
  /** Undefined where nothing names an etcd: then the records of the ADDs do. */
  readonly ipam: IpamPlace | undefined;
  /** Undefined where there is no Open vSwitch, as far as the settings tell. */
  readonly ovs: SwitchAddress | undefined;
}

type PlacedRecord = Pick<AttachmentRecord, 'ipamType' | 'mtu' | 'etcd' | 'node' | 'ovsdb' | 'ovsdbTls'>;

export const ipamPlaceOf = ({ etcd, node }: PlacedRecord): IpamPlace => ({ etcd: etcdSettings(etcd), node });

/** Every etcd and node that this machine's attachments have addresses of: one network may name another than the next. */
export function ipamPlaces(own: OwnPlace, records: readonly PlacedRecord[]): IpamPlace[] {
  return distinct([...(own.ipam ? [own.ipam] : []), ...records.filter(isOurIpam).map(ipamPlaceOf)]);
}

/** Every Open vSwitch that this machine's attachments have ports in. */
export function switches(own: OwnPlace, records: readonly PlacedRecord[]): SwitchAddress[] {
  return distinct([...(own.ovs ? [own.ovs] : []), ...records.filter(isOurWire).map(switchOf)]);
}

function distinct<T>(places: readonly T[]): T[] {
  return [...new Map(places.map((place) => [JSON.stringify(place), place])).values()];
}
