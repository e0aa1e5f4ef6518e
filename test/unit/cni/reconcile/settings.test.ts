import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ipamPlaces, switches, type OwnPlace } from '../../../../cni/reconcile/places.ts';
import { reconcileSettings } from '../../../../cni/reconcile/settings.ts';

const shared = (value: object): { content: string; file: string } => ({
  content: JSON.stringify(value),
  file: '/etc/cellnet/config.json',
});

suite('what the agent reconciles', () => {
  test('environment over shared file over default', () => {
    const file = shared({
      etcd: { endpoints: ['http://10.0.0.1:2379'] },
      node: 'node-7',
      ovsdb: 'unix:/ovs',
      reconcile: { intervalMs: 5_000 },
    });
    const env = { CELLNET_RECONCILE_GRACE_MS: '1000', CELLNET_STATE_DIR: '/state' };
    const { own, intervalMs, graceMs } = reconcileSettings(env, file, 'host');
    assert.deepEqual([intervalMs, graceMs], [5_000, 1_000]);
    assert.equal(own.stateDir, '/state');
    assert.equal(own.ipam?.node, 'node-7');
    assert.deepEqual(own.ipam.etcd.endpoints, ['http://10.0.0.1:2379']);
    assert.equal(own.ovs?.ovsdb, 'unix:/ovs');
    assert.deepEqual(reconcileSettings({}, undefined, 'host').intervalMs, 60_000);
  });

  test('an etcd that nothing names is not guessed', () =>
    assert.equal(reconcileSettings({}, undefined, 'host').own.ipam, undefined));

  for (const text of ['soon', '-1', '1.5', '3600001']) {
    test(`an interval of '${text}' is refused`, () =>
      assert.throws(
        () => reconcileSettings({ CELLNET_RECONCILE_INTERVAL_MS: text }, undefined, 'host'),
        /CELLNET_RECONCILE_INTERVAL_MS is "?[^:]+: expected a whole number of milliseconds, 0 to 3600000/,
      ));
  }

  test('every etcd and Open vSwitch once: the settings’ own, and those that records name', () => {
    const etcd = { endpoints: ['http://10.0.0.1:2379'], prefix: '/cellnet' };
    const own: OwnPlace = {
      stateDir: '/state',
      ipam: { etcd, node: 'node-1' },
      ovs: { ovsdb: 'unix:/ovs', ovsdbTls: {} },
      bridge: 'br-cell',
    };
    const record = { etcd, node: 'node-1', ovsdb: 'unix:/ovs', mtu: 1500 };
    const other = { ...record, etcd: { ...etcd, prefix: '/other' }, ovsdb: 'unix:/other' };
    const bridged = { etcd, node: 'node-2', ovsdb: 'unix:/nowhere' };
    const hostLocal = { ...record, ipamType: 'host-local', node: 'node-3', ovsdb: 'unix:/third' };
    const records = [record, other, bridged, hostLocal, other];
    assert.deepEqual(
      ipamPlaces(own, records).map(({ etcd: { prefix }, node }) => `${prefix} ${node}`),
      ['/cellnet node-1', '/other node-1', '/cellnet node-2'],
    );
    assert.deepEqual(
      switches(own, records).map(({ ovsdb }) => ovsdb),
      ['unix:/ovs', 'unix:/other', 'unix:/third'],
    );
  });
});
