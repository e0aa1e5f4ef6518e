import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ensureBridge, inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { until } from '../../support/proc.ts';
import { DEADLINE, useOvs } from './world.ts';

suite('making a bridge', () => {
  const world = useOvs();
  const plan = {
    bridge: 'br-new',
    uplink: 'v55',
    failMode: 'standalone',
    datapathType: 'netdev',
    deadlineMs: DEADLINE,
  } as const;

  test('a dry run changes nothing; then it is made, and made again it is as it was', async () => {
    const dry = await ensureBridge(world.client, { ...plan, dryRun: true });
    assert.deepEqual([dry.created, dry.uplinkAdded, dry.changes.length], [true, true, 2]);
    assert.equal(await inspectBridge(world.client, 'br-new'), undefined);
    assert.deepEqual(await ensureBridge(world.client, plan), dry);
    assert.equal((await world.ovs.vsctl('get', 'bridge', 'br-new', 'fail_mode')).trim(), 'standalone');
    assert.deepEqual((await world.ovs.vsctl('list-ports', 'br-new')).trim(), 'v55');
    assert.deepEqual(await ensureBridge(world.client, plan), {
      created: false,
      uplinkAdded: false,
      changes: [],
    });
  });

  test('a setting that differs is put right', async () => {
    await world.ovs.vsctl('set', 'bridge', 'br-new', 'fail_mode=secure');
    const { changes } = await ensureBridge(world.client, plan);
    assert.deepEqual(changes, ['fail_mode of br-new set to standalone (was secure)']);
  });

  test('an uplink of another bridge is refused', () =>
    assert.rejects(ensureBridge(world.client, { ...plan, bridge: 'br-t' }), {
      code: 'uplink-taken',
      message: /is on bridge 'br-new'/,
    }));

  test('an uplink that is no device is refused and taken off again', async () => {
    await assert.rejects(ensureBridge(world.client, { ...plan, uplink: 'nodev' }), { code: 'port-failed' });
    assert.doesNotMatch(await world.ovs.vsctl('list-ports', 'br-new'), /nodev/);
  });

  test('with it a setting that was changed is put back', async () => {
    await world.ovs.vsctl('clear', 'bridge', 'br-new', 'fail_mode');
    const change = { ...plan, failMode: 'secure', uplink: 'nodev' } as const;
    await assert.rejects(ensureBridge(world.client, change), { code: 'port-failed' });
    assert.equal((await world.ovs.vsctl('get', 'bridge', 'br-new', 'fail_mode')).trim(), '[]');
    await world.ovs.vsctl('del-br', 'br-new');
  });

  test('with it the bridge that the same call made is gone again', async () => {
    await assert.rejects(ensureBridge(world.client, { ...plan, uplink: 'nodev' }), { code: 'port-failed' });
    assert.equal(await inspectBridge(world.client, 'br-new'), undefined);
    assert.doesNotMatch(await world.ovs.vsctl('--bare', '--columns=name', 'list', 'port'), /nodev|br-new/);
  });

  test('a bridge that vswitchd does not take up is gone again; what to do depends on the datapath', async () => {
    world.ovs.pauseVswitchd();
    const short = { ...plan, deadlineMs: 300 };
    const message = /did not take bridge 'br-new' up within 300 ms$/;
    try {
      await assert.rejects(ensureBridge(world.client, { ...short, datapathType: undefined }), {
        code: 'port-timeout',
        message,
        remedy: /modprobe openvswitch.*`--datapath netdev`.*log/,
      });
      await assert.rejects(ensureBridge(world.client, short), {
        code: 'port-timeout',
        message,
        remedy: /^Look whether ovs-vswitchd runs/,
      });
      assert.equal(await inspectBridge(world.client, 'br-new'), undefined);
    } finally {
      world.ovs.resumeVswitchd();
    }
  });

  test('but not where somebody gave it a port meanwhile', async () => {
    world.ovs.pauseVswitchd();
    try {
      const making = ensureBridge(world.client, { ...plan, deadlineMs: 1_500 });
      making.catch(() => undefined);
      await until(
        'the bridge',
        async () => (await inspectBridge(world.client, 'br-new')) !== undefined,
        1_000,
      );
      await world.ovs.vsctl('--no-wait', 'add-port', 'br-new', 'v56');
      await assert.rejects(making, {
        code: 'port-timeout',
        message: /what was made before is still there/,
      });
      assert.equal((await world.ovs.vsctl('list-ports', 'br-new')).trim(), 'v56');
    } finally {
      world.ovs.resumeVswitchd();
    }
    await world.ovs.vsctl('del-br', 'br-new');
  });
});
