import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { addPort, detachPorts, findPorts, removePort } from '../../../cni/ovsdb/ports.ts';
import { must, until } from '../../support/proc.ts';
import { idsOf, useOvs } from './world.ts';

suite('ports of Open vSwitch', () => {
  const world = useOvs();

  test('a port is attached with its tag and marks, forwards, is found, and is removed once', async () => {
    assert.ok((await world.add('v0', { tag: 120 })) > 0);
    assert.equal((await world.ovs.vsctl('get', 'port', 'v0', 'tag')).trim(), '120');
    assert.match(await world.ovs.vsctl('get', 'interface', 'v0', 'external_ids'), /container-id=cv0/);
    const [found] = await findPorts(world.client, 'cv0', 'eth0');
    assert.deepEqual([found?.name, found?.bridge, found?.tag, found?.error], ['v0', 'br-t', 120, undefined]);
    assert.ok((found?.ofport ?? 0) > 0);
    assert.equal(await removePort(world.client, 'cv0', 'eth0'), 'removed');
    assert.equal(await removePort(world.client, 'cv0', 'eth0'), 'absent');
    assert.deepEqual(await findPorts(world.client), []);
    assert.doesNotMatch(await world.ovs.vsctl('--bare', '--columns=name', 'list', 'interface'), /^v0$/m);
  });

  test('a bridge that does not exist', () =>
    assert.rejects(world.add('v1', { bridge: 'br-none' }), {
      code: 'bridge-missing',
      message: /'br-none'/,
      remedy: /cnictl node init --bridge br-none/,
    }));

  test('a name that is taken', async () => {
    await world.add('v1');
    await assert.rejects(world.add('v1', { id: 'other' }), { code: 'port-exists' });
    assert.equal((await findPorts(world.client)).length, 1);
    await removePort(world.client, 'cv1', 'eth0');
  });

  test('asked for twice, it is made once; a port that is gone is removed', async () => {
    const number = await world.add('v1', { tag: 7 });
    assert.equal(await world.add('v1', { tag: 7 }), number);
    await assert.rejects(world.add('v1', { tag: 8 }), { code: 'port-exists' });
    const uuid = (await world.ovs.vsctl('get', 'Port', 'v1', '_uuid')).trim();
    await removePort(world.client, 'cv1', 'eth0');
    await world.client.transact(detachPorts([uuid]));
    assert.deepEqual(await findPorts(world.client), []);
  });

  test('a device that does not exist fails at once, in the words of vswitchd', async () => {
    const started = performance.now();
    await assert.rejects(world.add('nodev'), {
      code: 'port-failed',
      message: /could not open network device nodev/,
    });
    assert.ok(performance.now() - started < 2_000);
    assert.equal(await removePort(world.client, 'cnodev', 'eth0'), 'removed');
  });

  test('what is not ours is neither found nor removed', async () => {
    await world.ovs.vsctl(
      'add-port',
      'br-t',
      'v2',
      '--',
      'set',
      'port',
      'v2',
      'external_ids:container-id=cv2',
      'external_ids:ifname=eth0',
      'external_ids:owner=other',
    );
    assert.equal(await removePort(world.client, 'cv2', 'eth0'), 'absent');
    assert.deepEqual(await findPorts(world.client), []);
    await world.ovs.vsctl('del-port', 'v2');
  });

  test('50 ports by concurrent clients', async () => {
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => OvsdbClient.connect(world.ovs.remote, { deadlineMs: 10_000 })),
    );
    const numbers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        addPort(
          clients[i % 10] ?? world.client,
          { bridge: 'br-t', name: `v${i}`, externalIds: idsOf(i) },
          10_000,
        ),
      ),
    );
    assert.equal(new Set(numbers).size, 50);
    assert.equal((await findPorts(world.client)).length, 50);
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => removePort(clients[i % 10] ?? world.client, `c${i}`, 'eth0')),
    );
    assert.deepEqual(await findPorts(world.client), []);
    clients.forEach((each) => each.close());
  });

  test('the MTU of a bridge is that of its smallest uplink: internal and our own ports do not count', async () => {
    assert.equal(await inspectBridge(world.client, 'br-none'), undefined);
    assert.deepEqual(await inspectBridge(world.client, 'br-t'), {
      datapathType: 'netdev',
      failMode: undefined,
      uplinkMtu: undefined,
    });
    await must('ip', ['-n', world.ns.name, 'link', 'set', 'v51', 'mtu', '1400']);
    await must('ip', ['-n', world.ns.name, 'link', 'set', 'v52', 'mtu', '900']);
    await world.ovs.vsctl('add-port', 'br-t', 'v50', '--', 'add-port', 'br-t', 'v51');
    await world.add('v52');
    await until(
      'the MTUs',
      async () => (await inspectBridge(world.client, 'br-t'))?.uplinkMtu === 1400,
      3_000,
    );
    await removePort(world.client, 'cv52', 'eth0');
    await world.ovs.vsctl('del-port', 'v50', '--', 'del-port', 'v51');
  });
});
