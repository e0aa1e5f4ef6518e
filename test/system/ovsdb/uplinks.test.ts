import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ensureBridge, inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { judgeSwitch, readSwitch } from '../../../cnictl/doctor/ovs.ts';
import { until } from '../../support/proc.ts';
import { DEADLINE, useOvs } from './world.ts';

suite('which ports of a real bridge are uplinks', () => {
  const world = useOvs();
  const uplinks = async (): Promise<string[]> =>
    judgeSwitch('br-t', await readSwitch(world.client, 'br-t'))
      .map(({ check }) => check)
      .filter((check) => check.startsWith('uplink '));
  const mtuIs = (mtu: number): Promise<unknown> =>
    until(`MTU ${mtu}`, async () => (await inspectBridge(world.client, 'br-t'))?.uplinkMtu === mtu);
  const plan = {
    bridge: 'br-t',
    failMode: 'standalone',
    datapathType: 'netdev',
    deadlineMs: DEADLINE,
  } as const;

  test("a VM's tap lowers nobody's MTU", async () => {
    await world.ns.exec('ip', 'link', 'set', 'v1', 'mtu', '9000');
    await world.ns.exec('ip', 'tuntap', 'add', 'tap0', 'mode', 'tap');
    await world.ns.exec('ip', 'link', 'set', 'tap0', 'up');
    await world.ovs.vsctl('add-port', 'br-t', 'v1', '--', 'add-port', 'br-t', 'tap0');
    await mtuIs(9000);
    assert.deepEqual(await uplinks(), ['uplink v1']);
  });

  test('node init marks the uplink, once: then no other device counts', async () => {
    await world.ovs.vsctl('add-port', 'br-t', 'v2');
    await mtuIs(1500);
    assert.deepEqual((await uplinks()).sort(), ['uplink v1', 'uplink v2']);
    const { changes } = await ensureBridge(world.client, { ...plan, uplink: 'v1' });
    assert.deepEqual(changes, ['uplink v1 of br-t marked as uplink']);
    await mtuIs(9000);
    assert.deepEqual(await uplinks(), ['uplink v1']);
    assert.deepEqual((await ensureBridge(world.client, { ...plan, uplink: 'v1' })).changes, []);
  });

  test('one that node init attaches is marked', async () => {
    await ensureBridge(world.client, { ...plan, uplink: 'v3' });
    assert.deepEqual((await uplinks()).sort(), ['uplink v1', 'uplink v3']);
    await mtuIs(1500);
  });
});
