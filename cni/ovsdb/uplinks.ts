import { OWNER } from './owner.ts';
import { asNumber, asRecord, asString, asUuids, type RawRow } from './protocol.ts';

/** Mark of a Port that `cnictl node init` has attached as an uplink. */
export const UPLINK_MARK = { 'cellnet-uplink': 'true' } as const;

/**
 * Interface types that are devices of the host. `internal` and tunnels are not
 * (ovs-vswitchd.conf.db(5)).
 */
const DEVICE_TYPES = ['', 'system', 'dpdk', 'afxdp', 'afxdp-nonpmd'];

/**
 * Keys of `external_ids` that tell of a port of a VM or a container: those of the integration guide
 * of Open vSwitch (Documentation/topics/integration.rst), of ovs-docker and of ovs-cni.
 */
const MARKS_OF_OTHERS = [
  'owner',
  'iface-id',
  'iface-status',
  'attached-mac',
  'vm-id',
  'vm-uuid',
  'xs-vm-uuid',
  'container_id',
  'contPodUid',
  'sandbox',
];

/** Columns that {@link uplinksOf} reads, beside `_uuid`. */
export const PORT_COLUMNS = ['interfaces', 'external_ids', 'tag'];
export const INTERFACE_COLUMNS = ['type', 'external_ids', 'status'];

/** A device of an uplink, with its port. */
export interface UplinkRows {
  readonly port: RawRow;
  readonly device: RawRow;
}

/**
 * Returns the bridge's uplinks: the ports that `cnictl node init` marked. Without a mark, those
 * that nothing shows to be another's: no tap, and no port with the mark of another program. Among
 * these a veth, which may be a container's, counts only beside no other device, and a port of one
 * VLAN only beside no trunk.
 * @param members UUIDs of the bridge's ports
 * @param ports with {@link PORT_COLUMNS}
 * @param interfaces with {@link INTERFACE_COLUMNS}
 */
export function uplinksOf(
  members: ReadonlySet<string>,
  ports: readonly RawRow[],
  interfaces: readonly RawRow[],
): UplinkRows[] {
  const byUuid = new Map(interfaces.map((row) => [asUuids(row['_uuid'])[0] ?? '', row]));
  const devices = ports
    .filter((port) => members.has(asUuids(port['_uuid'])[0] ?? ''))
    .filter((port) => idsOf(port)['owner'] !== OWNER)
    .flatMap((port) =>
      asUuids(port['interfaces']).flatMap((id) => {
        const device = byUuid.get(id);
        return device && DEVICE_TYPES.includes(asString(device['type']) ?? '') ? [{ port, device }] : [];
      }),
    );
  const marked = devices.filter(({ port }) => isMarkedUplink(port));
  if (marked.length > 0) return marked;
  const possible = devices.filter(
    ({ port, device }) => driverOf(device) !== 'tun' && !isOthers(port) && !isOthers(device),
  );
  const wired = preferred(possible, ({ device }) => driverOf(device) !== 'veth');
  return preferred(wired, ({ port }) => asNumber(port['tag']) === undefined);
}

/** @param port with its `external_ids` */
export const isMarkedUplink = (port: RawRow): boolean =>
  Object.entries(UPLINK_MARK).every(([key, value]) => idsOf(port)[key] === value);

const idsOf = (row: RawRow): Record<string, string> => asRecord(row['external_ids']);

const isOthers = (row: RawRow): boolean => MARKS_OF_OTHERS.some((key) => key in idsOf(row));

/** Kernel driver, as ethtool names it. */
const driverOf = (device: RawRow): string | undefined => asRecord(device['status'])['driver_name'];

/** Returns those that pass the test, or all when none does. */
function preferred<T>(all: readonly T[], test: (each: T) => boolean): T[] {
  const some = all.filter(test);
  return some.length > 0 ? some : [...all];
}
