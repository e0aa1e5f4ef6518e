import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { callUnixctl, findVswitchdSocket } from '../../../cni/ovsdb/unixctl.ts';
import { makeNamespace, newScope, uniqueName, type Scope } from '../../support/netns.ts';
import { startOvs, type Ovs } from '../../support/ovs.ts';

suite('commands of a running ovs-vswitchd', () => {
  let scope: Scope;
  let ovs: Ovs;
  before(async () => {
    scope = newScope();
    const ns = scope.use(await makeNamespace(uniqueName('ctl')));
    ovs = scope.use(await startOvs({ netns: ns.name, dir: await scope.tempDir() }));
    await ovs.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev');
  });
  after(() => scope.close());

  const call = (method: string, ...params: readonly string[]): Promise<string> =>
    callUnixctl(findVswitchdSocket(ovs.remote), method, params, { deadlineMs: 2_000 });

  test('answers as ovs-appctl prints them', async () => {
    assert.match(await call('version'), /^ovs-vswitchd \(Open vSwitch\) \d/);
    assert.equal(await call('dpctl/dump-dps'), await ovs.appctl('dpctl/dump-dps'));
    assert.match(await call('ofproto/trace', 'br0', 'in_port=LOCAL'), /^Datapath actions: /m);
    assert.ok((await call('list-commands')).length > 5_000, 'an answer of several chunks');
  });

  test('what the daemon refuses carries its own words', async () => {
    await assert.rejects(call('ofproto/trace', 'none', 'in_port=1'), {
      ...{ code: 'refused', refused: true },
      message: 'ovs-vswitchd refused ofproto/trace: none: unknown bridge',
    });
  });

  test('one that hangs is given up at the deadline', async () => {
    ovs.pauseVswitchd();
    try {
      await assert.rejects(callUnixctl(findVswitchdSocket(ovs.remote), 'version', [], { deadlineMs: 200 }), {
        code: 'timeout',
      });
    } finally {
      ovs.resumeVswitchd();
    }
    assert.match(await call('version'), /Open vSwitch/);
  });

  test('too long an answer is not taken', async () => {
    const socket = findVswitchdSocket(ovs.remote);
    await assert.rejects(callUnixctl(socket, 'list-commands', [], { maxBytes: 1_000 }), { code: 'protocol' });
  });
});

suite('the socket of ovs-vswitchd', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'cellnet-ctl-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const inFolder = (name: string, ...files: readonly (readonly [string, string])[]): string => {
    mkdirSync(join(folder, name));
    for (const [file, text] of files) writeFileSync(join(folder, name, file), text);
    return `unix:${join(folder, name, 'db.sock')}`;
  };

  test('has the PID in its name, as the PID file tells; an old one beside it does not count', () => {
    const ovsdb = inFolder(
      'a',
      ['ovs-vswitchd.pid', '42\n'],
      ['ovs-vswitchd.42.ctl', ''],
      ['ovs-vswitchd.7.ctl', ''],
    );
    assert.equal(findVswitchdSocket(ovsdb), join(folder, 'a', 'ovs-vswitchd.42.ctl'));
  });

  test('without a PID file it is the only one; none, several and a database elsewhere are told', () => {
    assert.match(findVswitchdSocket(inFolder('b', ['ovs-vswitchd.ctl', ''])), /b\/ovs-vswitchd\.ctl$/);
    assert.throws(() => findVswitchdSocket(inFolder('c')), { code: 'unreachable' });
    const two = inFolder('d', ['ovs-vswitchd.1.ctl', ''], ['ovs-vswitchd.2.ctl', '']);
    assert.throws(() => findVswitchdSocket(two), /several sockets/);
    assert.throws(() => findVswitchdSocket('tcp:192.0.2.1:6640'), /is not on this node/);
  });

  test('one where nobody listens, or that ends in the middle of its answer', async () => {
    const path = join(folder, 'x.ctl');
    await assert.rejects(callUnixctl(path, 'version', []), { code: 'unreachable' });
    const server: Server = createServer((socket) => socket.end('{"id":0,"result":"a}'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      await assert.rejects(callUnixctl(path, 'version', []), { code: 'connection-lost' });
    } finally {
      server.close();
    }
  });
});
