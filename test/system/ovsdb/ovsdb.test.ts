import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openSwitch } from '../../../cni/host/switch.ts';
import { ensureBridge, inspectBridge } from '../../../cni/ovsdb/bridges.ts';
import { OvsdbClient } from '../../../cni/ovsdb/client.ts';
import { addPort, findPorts, removePort } from '../../../cni/ovsdb/ports.ts';
import { makeNamespace, newScope, uniqueName, type Namespace, type Scope } from '../../support/netns.ts';
import { startOvs, type Ovs } from '../../support/ovs.ts';
import { must, until } from '../../support/proc.ts';

const DEADLINE = 3_000;
const idsOf = (n: number | string): Record<string, string> => ({
  owner: 'cellnet',
  'container-id': `c${n}`,
  ifname: 'eth0',
  ip: '10.20.0.17',
});

suite('Open vSwitch', () => {
  let scope: Scope;
  let ns: Namespace;
  let ovs: Ovs;
  let client: OvsdbClient;
  before(async () => {
    scope = newScope();
    const dir = await scope.tempDir();
    ns = scope.use(await makeNamespace(uniqueName('ovsdb')));
    await must('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=test',
      '-keyout',
      join(dir, 'key.pem'),
      '-out',
      join(dir, 'cert.pem'),
    ]);
    const tls = [
      `--private-key=${dir}/key.pem`,
      `--certificate=${dir}/cert.pem`,
      `--ca-cert=${dir}/cert.pem`,
    ];
    ovs = scope.use(await startOvs({ netns: ns.name, dir: join(dir, 'ovs'), databaseArgs: tls }));
    await ovs.vsctl('add-br', 'br-t', '--', 'set', 'bridge', 'br-t', 'datapath_type=netdev');
    for (let i = 0; i < 60; i++)
      await must('ip', [
        '-n',
        ns.name,
        'link',
        'add',
        `v${i}`,
        'up',
        'type',
        'veth',
        'peer',
        'name',
        `w${i}`,
      ]);
    client = await OvsdbClient.connect(ovs.remote, { deadlineMs: DEADLINE });
  });
  after(async () => {
    client.close();
    await scope.close();
  });
  const add = (
    name: string,
    more: { tag?: number; bridge?: string; id?: string; via?: OvsdbClient } = {},
  ): Promise<number> =>
    addPort(
      more.via ?? client,
      { bridge: more.bridge ?? 'br-t', name, tag: more.tag, externalIds: idsOf(more.id ?? name) },
      DEADLINE,
    );

  test('a port is attached with its tag and marks, forwards, is found, and is removed once', async () => {
    assert.ok((await add('v0', { tag: 120 })) > 0);
    assert.equal((await ovs.vsctl('get', 'port', 'v0', 'tag')).trim(), '120');
    assert.match(await ovs.vsctl('get', 'interface', 'v0', 'external_ids'), /container-id=cv0/);
    const [found] = await findPorts(client, 'cv0', 'eth0');
    assert.deepEqual([found?.name, found?.bridge, found?.tag, found?.error], ['v0', 'br-t', 120, undefined]);
    assert.ok((found?.ofport ?? 0) > 0);
    assert.equal(await removePort(client, 'cv0', 'eth0'), 'removed');
    assert.equal(await removePort(client, 'cv0', 'eth0'), 'absent');
    assert.deepEqual(await findPorts(client), []);
    assert.doesNotMatch(await ovs.vsctl('--bare', '--columns=name', 'list', 'interface'), /^v0$/m);
  });

  test('a bridge that does not exist', () =>
    assert.rejects(add('v1', { bridge: 'br-none' }), {
      code: 'bridge-missing',
      message: /'br-none'/,
      remedy: /cnictl node init --bridge br-none/,
    }));

  test('a name that is taken', async () => {
    await add('v1');
    await assert.rejects(add('v1', { id: 'other' }), { code: 'port-exists' });
    assert.equal((await findPorts(client)).length, 1);
    await removePort(client, 'cv1', 'eth0');
  });

  test('a device that does not exist fails at once, in the words of vswitchd', async () => {
    const started = performance.now();
    await assert.rejects(add('nodev'), {
      code: 'port-failed',
      message: /could not open network device nodev/,
    });
    assert.ok(performance.now() - started < 2_000);
    assert.equal(await removePort(client, 'cnodev', 'eth0'), 'removed');
  });

  test('what is not ours is neither found nor removed', async () => {
    await ovs.vsctl(
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
    assert.equal(await removePort(client, 'cv2', 'eth0'), 'absent');
    assert.deepEqual(await findPorts(client), []);
    await ovs.vsctl('del-port', 'v2');
  });

  test('50 ports by concurrent clients', async () => {
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => OvsdbClient.connect(ovs.remote, { deadlineMs: 10_000 })),
    );
    const numbers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        addPort(clients[i % 10] ?? client, { bridge: 'br-t', name: `v${i}`, externalIds: idsOf(i) }, 10_000),
      ),
    );
    assert.equal(new Set(numbers).size, 50);
    assert.equal((await findPorts(client)).length, 50);
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => removePort(clients[i % 10] ?? client, `c${i}`, 'eth0')),
    );
    assert.deepEqual(await findPorts(client), []);
    clients.forEach((each) => each.close());
  });

  test('the MTU of a bridge is that of its smallest uplink: internal and our own ports do not count', async () => {
    assert.equal(await inspectBridge(client, 'br-none'), undefined);
    assert.deepEqual(await inspectBridge(client, 'br-t'), {
      datapathType: 'netdev',
      failMode: undefined,
      uplinkMtu: undefined,
    });
    await must('ip', ['-n', ns.name, 'link', 'set', 'v51', 'mtu', '1400']);
    await must('ip', ['-n', ns.name, 'link', 'set', 'v52', 'mtu', '900']);
    await ovs.vsctl('add-port', 'br-t', 'v50', '--', 'add-port', 'br-t', 'v51');
    await add('v52');
    await until('the MTUs', async () => (await inspectBridge(client, 'br-t'))?.uplinkMtu === 1400, 3_000);
    await removePort(client, 'cv52', 'eth0');
    await ovs.vsctl('del-port', 'v50', '--', 'del-port', 'v51');
  });

  suite('making a bridge', () => {
    const plan = {
      bridge: 'br-new',
      uplink: 'v55',
      failMode: 'standalone',
      datapathType: 'netdev',
      deadlineMs: DEADLINE,
    } as const;

    test('a dry run changes nothing; then it is made, and made again it is as it was', async () => {
      const dry = await ensureBridge(client, { ...plan, dryRun: true });
      assert.deepEqual([dry.created, dry.uplinkAdded, dry.changes.length], [true, true, 2]);
      assert.equal(await inspectBridge(client, 'br-new'), undefined);
      assert.deepEqual(await ensureBridge(client, plan), dry);
      assert.equal((await ovs.vsctl('get', 'bridge', 'br-new', 'fail_mode')).trim(), 'standalone');
      assert.deepEqual((await ovs.vsctl('list-ports', 'br-new')).trim(), 'v55');
      assert.deepEqual(await ensureBridge(client, plan), { created: false, uplinkAdded: false, changes: [] });
    });

    test('a setting that differs is put right', async () => {
      await ovs.vsctl('set', 'bridge', 'br-new', 'fail_mode=secure');
      const { changes } = await ensureBridge(client, plan);
      assert.deepEqual(changes, ['fail_mode of br-new set to standalone (was secure)']);
    });

    test('an uplink of another bridge is refused', () =>
      assert.rejects(ensureBridge(client, { ...plan, bridge: 'br-t' }), {
        code: 'uplink-taken',
        message: /is on bridge 'br-new'/,
      }));

    test('an uplink that is no device is refused and taken off again', async () => {
      await assert.rejects(ensureBridge(client, { ...plan, uplink: 'nodev' }), { code: 'port-failed' });
      assert.doesNotMatch(await ovs.vsctl('list-ports', 'br-new'), /nodev/);
    });

    test('with it a setting that was changed is put back', async () => {
      await ovs.vsctl('clear', 'bridge', 'br-new', 'fail_mode');
      const change = { ...plan, failMode: 'secure', uplink: 'nodev' } as const;
      await assert.rejects(ensureBridge(client, change), { code: 'port-failed' });
      assert.equal((await ovs.vsctl('get', 'bridge', 'br-new', 'fail_mode')).trim(), '[]');
      await ovs.vsctl('del-br', 'br-new');
    });

    test('with it the bridge that the same call made is gone again', async () => {
      await assert.rejects(ensureBridge(client, { ...plan, uplink: 'nodev' }), { code: 'port-failed' });
      assert.equal(await inspectBridge(client, 'br-new'), undefined);
      assert.doesNotMatch(await ovs.vsctl('--bare', '--columns=name', 'list', 'port'), /nodev|br-new/);
    });

    test('a bridge that vswitchd does not take up is gone again; what to do depends on the datapath', async () => {
      ovs.pauseVswitchd();
      const short = { ...plan, deadlineMs: 300 };
      const message = /did not take bridge 'br-new' up within 300 ms$/;
      try {
        await assert.rejects(ensureBridge(client, { ...short, datapathType: undefined }), {
          code: 'port-timeout',
          message,
          remedy: /modprobe openvswitch.*`--datapath netdev`.*log/,
        });
        await assert.rejects(ensureBridge(client, short), {
          code: 'port-timeout',
          message,
          remedy: /^Look whether ovs-vswitchd runs/,
        });
        assert.equal(await inspectBridge(client, 'br-new'), undefined);
      } finally {
        ovs.resumeVswitchd();
      }
    });

    test('but not where somebody gave it a port meanwhile', async () => {
      ovs.pauseVswitchd();
      try {
        const making = ensureBridge(client, { ...plan, deadlineMs: 1_500 });
        making.catch(() => undefined);
        await until('the bridge', async () => (await inspectBridge(client, 'br-new')) !== undefined, 1_000);
        await ovs.vsctl('--no-wait', 'add-port', 'br-new', 'v56');
        await assert.rejects(making, {
          code: 'port-timeout',
          message: /what was made before is still there/,
        });
        assert.equal((await ovs.vsctl('list-ports', 'br-new')).trim(), 'v56');
      } finally {
        ovs.resumeVswitchd();
      }
      await ovs.vsctl('del-br', 'br-new');
    });
  });

  suite('trouble', () => {
    test('vswitchd that does not answer', async () => {
      ovs.pauseVswitchd();
      const started = performance.now();
      await assert.rejects(add('v3'), {
        code: 'port-timeout',
        message: /did not take port 'v3' up within 3000 ms/,
      });
      assert.ok(performance.now() - started < DEADLINE + 1_000);
      ovs.resumeVswitchd();
      await removePort(client, 'cv3', 'eth0');
    });

    test('a server that is not there', () =>
      assert.rejects(OvsdbClient.connect('unix:/run/none.sock'), {
        code: 'unreachable',
        message: /unix:\/run\/none\.sock/,
        remedy: /ovsdb-server/,
      }));

    test('a server that never answers', async () => {
      const server = createServer(() => undefined);
      const path = join(await scope.tempDir(), 's');
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
      const path = join(await scope.tempDir(), 's');
      await new Promise<void>((resolve) => server.listen(path, resolve));
      const odd = await OvsdbClient.connect(`unix:${path}`, { deadlineMs: 2_000 });
      await assert.rejects(inspectBridge(odd, 'br-t'), { code: 'connection-lost' });
      server.close();
    });

    test('an operation that is refused says which, in the words of the server', () =>
      assert.rejects(
        client.transact([
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
      const other = await OvsdbClient.connect(ovs.remote, { deadlineMs: DEADLINE });
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
      setTimeout(() => void ovs.killDatabase(), 100);
      await assert.rejects(waiting, { code: 'connection-lost' });
      assert.ok(performance.now() - started < 1_500);
      await assert.rejects(other.transact([]), { code: 'connection-lost' });
      await ovs.startDatabase();
    });
  });
});

suite('remotes over the network', () => {
  test('tcp, and ssl with certificates of both ends', async (t) => {
    const scope = newScope(t);
    const dir = await scope.tempDir();
    const file = (name: string): string => join(dir, name);
    const ca = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=test-ca',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.pem'),
    ];
    await must('openssl', ca);
    for (const name of ['server', 'client']) {
      await must('openssl', [
        'req',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        file(`${name}.key`),
        '-out',
        file(`${name}.csr`),
      ]);
      await must('openssl', [
        'x509',
        '-req',
        '-days',
        '1',
        '-in',
        file(`${name}.csr`),
        '-CA',
        file('ca.pem'),
        '-CAkey',
        file('ca.key'),
        '-CAcreateserial',
        '-out',
        file(`${name}.pem`),
      ]);
    }
    const port = 20_000 + (process.pid % 20_000);
    const ovs = scope.use(
      await startOvs({
        dir: file('ovs'),
        remotes: [`ptcp:${port}:127.0.0.1`, `pssl:${port + 1}:127.0.0.1`],
        databaseArgs: [
          `--private-key=${file('server.key')}`,
          `--certificate=${file('server.pem')}`,
          `--ca-cert=${file('ca.pem')}`,
        ],
      }),
    );
    await ovs.vsctl('--no-wait', 'add-br', 'br-n');
    const tls = { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') };
    for (const [remote, options] of [
      [`tcp:127.0.0.1:${port}`, {}],
      [`ssl:127.0.0.1:${port + 1}`, { tls }],
    ] as const) {
      const client = await OvsdbClient.connect(remote, options);
      assert.equal((await inspectBridge(client, 'br-n'))?.datapathType, 'system');
      client.close();
    }
    const address = { ovsdb: `ssl:127.0.0.1:${port + 1}`, ovsdbTls: tls };
    const opened = await openSwitch(address, 5_000);
    assert.deepEqual(await opened.inspectBridge('br-n'), { userspace: false, uplinkMtu: undefined });
    opened.close();
    await assert.rejects(
      OvsdbClient.connect(`ssl:127.0.0.1:${port + 1}`, { tls: { ...tls, caFile: file('client.pem') } }),
      { code: 'unreachable' },
    );
    await assert.rejects(OvsdbClient.connect(`ssl:127.0.0.1:${port + 1}`), {
      code: 'protocol',
      message: /needs a certificate/,
    });
  });
});
