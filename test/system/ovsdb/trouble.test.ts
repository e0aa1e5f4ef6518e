import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { attachPort, findPorts, removePort } from '../../../cni/ovsdb/ports.ts';
import { sleep } from '../../support/proc.ts';
import { DEADLINE, idsOf, useOvs } from './world.ts';

suite('trouble with Open vSwitch', () => {
  const world = useOvs();
  test('vswitchd that does not answer', async () => {
    world.ovs.pauseVswitchd();
    const started = performance.now();
    await assert.rejects(world.add('v3'), {
      code: 'port-timeout',
      message: /did not take port 'v3' up within 3000 ms/,
    });
    assert.ok(performance.now() - started < DEADLINE + 1_000);
    world.ovs.resumeVswitchd();
    await removePort(world.client, 'cv3', 'eth0');
  });

  test('a server that hangs: what was sent may be carried out when it goes on, and is found then', async () => {
    const other = await OvsdbClient.connect(world.ovs.remote, { deadlineMs: 300 });
    world.ovs.pauseDatabase();
    try {
      await assert.rejects(world.add('v4', { via: other }), { code: 'timeout', refused: false });
      assert.equal(other.lost?.code, 'timeout');
    } finally {
      world.ovs.resumeDatabase();
    }
    // Whether the server has carried it out or not, the repeated attach makes it one port.
    assert.ok((await world.add('v4')) > 0);
    assert.equal((await findPorts(world.client, 'cv4', 'eth0')).length, 1);
    assert.equal(await removePort(world.client, 'cv4', 'eth0'), 'removed');
  });

  // A teardown relies on this: what it does not find then will not come later.
  test('what a given-up connection sent comes before the requests of later connections, or never', async () => {
    for (const [ahead, found] of [
      [0, 'removed'],
      [1, 'absent'],
      [2, 'absent'],
    ] as const) {
      for (let i = 0; i < 3; i++) {
        const silent = await OvsdbClient.connect(world.ovs.remote, { deadlineMs: 100 });
        world.ovs.pauseDatabase();
        const earlier = Array.from({ length: ahead }, () => silent.transact([]));
        const attach = attachPort({ bridge: 'br-t', name: 'v4', externalIds: idsOf('v4') });
        const sent = await Promise.allSettled([...earlier, silent.transact(attach)]);
        assert.ok(sent.every(({ status }) => status === 'rejected'));
        const later = await OvsdbClient.connect(world.ovs.remote, { deadlineMs: DEADLINE });
        const removing = removePort(later, 'cv4', 'eth0');
        world.ovs.resumeDatabase();
        assert.equal(await removing, found);
        await sleep(20);
        assert.deepEqual(await findPorts(later, 'cv4', 'eth0'), []);
        later.close();
      }
    }
  });

  test('a server that is not there', () =>
    assert.rejects(OvsdbClient.connect('unix:/run/none.sock'), {
      code: 'unreachable',
      message: /unix:\/run\/none\.sock/,
      remedy: /ovsdb-server/,
    }));

  test('a server that never answers', async () => {
    const server = createServer(() => undefined);
    const path = join(await world.scope.tempDir(), 's');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const mute = await OvsdbClient.connect(`unix:${path}`, { deadlineMs: 300 });
    await assert.rejects(inspectBridge(mute, 'br-t'), {
      code: 'timeout',
      message: /did not answer within 300 ms/,
    });
    mute.close();
    server.close();
  });

  test('a server that talks nonsense', async () => {
    const server = createServer((socket) => socket.end('{"id":1,"result":}'));
    const path = join(await world.scope.tempDir(), 's');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const odd = await OvsdbClient.connect(`unix:${path}`, { deadlineMs: 2_000 });
    await assert.rejects(inspectBridge(odd, 'br-t'), { code: 'connection-lost' });
    server.close();
  });

  test('an operation that is refused says which, in the words of the server', () =>
    assert.rejects(
      world.client.transact([
        { op: 'select', table: 'Bridge', where: [] },
        { op: 'select', table: 'Nothing', where: [] },
      ]),
      {
        code: 'syntax error',
        operation: 1,
        message: /operation 1 \(select\)/,
      },
    ));

  test('the server dies while a request is under way: told at once', async () => {
    const other = await OvsdbClient.connect(world.ovs.remote, { deadlineMs: DEADLINE });
    const waiting = other.transact([
      {
        op: 'wait',
        table: 'Bridge',
        where: [['name', '==', 'br-none']],
        columns: ['name'],
        until: '==',
        rows: [{ name: 'br-none' }],
        timeout: 60_000,
      },
    ]);
    const started = performance.now();
    setTimeout(() => void world.ovs.killDatabase(), 100);
    await assert.rejects(waiting, { code: 'connection-lost' });
    assert.ok(performance.now() - started < 1_500);
    await assert.rejects(other.transact([]), { code: 'connection-lost' });
    await world.ovs.startDatabase();
  });
});
