import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RawRow } from '../../../../cni/ovsdb/protocol.ts';
import { uplinksOf, UPLINK_MARK } from '../../../../cni/ovsdb/uplinks.ts';

interface Device {
  readonly driver?: string;
  readonly type?: string;
  readonly tag?: number;
  readonly portIds?: Readonly<Record<string, string>>;
  readonly ids?: Readonly<Record<string, string>>;
}

const mapOf = (entries: Readonly<Record<string, string>>): unknown => ['map', Object.entries(entries)];

/** Returns the names of the uplinks among the devices, each with a port of its own. */
function uplinksAmong(devices: Readonly<Record<string, Device>>): string[] {
  const all = Object.entries(devices);
  const ports = all.map(([name, { tag, portIds = {} }]): RawRow => ({
    _uuid: ['uuid', `port ${name}`],
    interfaces: ['uuid', name],
    external_ids: mapOf(portIds),
    tag: tag ?? ['set', []],
  }));
  const interfaces = all.map(([name, { driver, type = '', ids = {} }]): RawRow => ({
    _uuid: ['uuid', name],
    type,
    external_ids: mapOf(ids),
    status: mapOf(driver === undefined ? {} : { driver_name: driver }),
  }));
  const members = new Set(all.map(([name]) => `port ${name}`));
  return uplinksOf(members, ports, interfaces).map(({ device }) => (device['_uuid'] as string[])[1] ?? '');
}

suite('the uplinks of a bridge', () => {
  const bond = { driver: 'bonding' };
  const cases: [what: string, devices: Readonly<Record<string, Device>>, uplinks: string[]][] = [
    [
      'the marked one alone',
      { bond1: { ...bond, portIds: UPLINK_MARK }, eth7: { driver: 'ixgbe' } },
      ['bond1'],
    ],
    [
      'even a veth or a tap, if marked',
      { v0: { driver: 'veth', portIds: UPLINK_MARK }, bond1: bond },
      ['v0'],
    ],
    ["no VM's tap", { bond1: bond, tap0: { driver: 'tun' } }, ['bond1']],
    ['no tap that is alone', { tap0: { driver: 'tun' } }, []],
    ['no veth beside a device', { bond1: bond, v0: { driver: 'veth' } }, ['bond1']],
    ['a veth that is alone', { v0: { driver: 'veth' } }, ['v0']],
    [
      'no port of one VLAN beside a trunk',
      { v0: { driver: 'veth' }, v1: { driver: 'veth', tag: 7 } },
      ['v0'],
    ],
    ['a port of one VLAN that is alone', { eth0: { driver: 'e1000', tag: 7 } }, ['eth0']],
    ['two devices', { eth0: { driver: 'e1000' }, eth1: { driver: 'e1000' } }, ['eth0', 'eth1']],
    ['a device without a known driver', { dpdk0: { type: 'dpdk' } }, ['dpdk0']],
    ['no internal port, no tunnel', { in0: { type: 'internal' }, vx0: { type: 'vxlan' } }, []],
    ['no port of ours', { p0: { portIds: { owner: 'cellnet' } } }, []],
    ['none with the mark of a VM', { eth0: { ids: { 'iface-id': 'vm-7' } } }, []],
    ['none with the mark of ovs-cni', { v0: { portIds: { owner: 'ovs-cni.network.kubevirt.io' } } }, []],
    ['one that NetworkManager made', { eth0: { ids: { 'NM.connection.uuid': 'u' } } }, ['eth0']],
  ];
  for (const [what, devices, uplinks] of cases)
    test(what, () => assert.deepEqual(uplinksAmong(devices), uplinks));
});
