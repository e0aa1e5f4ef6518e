import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { lock, tryLock } from '../../../cni/host/lock.ts';
import { NodeState } from '../../../cni/host/node-state.ts';
import type { PendingTeardown } from '../../../cni/platform/node-records.ts';

suite("the node's own records", () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const record = (containerId: string, ifname: string): PendingTeardown => ({
    v: 1,
    network: 'cell',
    containerId,
    ifname,
    etcd: { endpoints: ['http://127.0.0.1:2379'] },
    node: 'n',
    bridge: 'br-cell',
    ovsdb: 'unix:/db.sock',
    createdAt: 1,
    until: 2,
    wire: true,
  });
  const open = (complaints: string[] = []): NodeState =>
    new NodeState(join(dir, 'a', 'b'), (what) => complaints.push(what));

  test('what a killed write has left goes, once no write can still be at it', () => {
    const state = open();
    state.savePending(record('whole', 'eth0'));
    const folder = join(dir, 'a', 'b', 'pending');
    const unfinished = join(folder, 'cut,eth0.json.4711.tmp');
    writeFileSync(unfinished, '{"v":1,');
    state.sweepUnfinished(Date.now());
    assert.ok(readdirSync(folder).includes('cut,eth0.json.4711.tmp'));
    state.sweepUnfinished(Date.now() + 61_000);
    assert.deepEqual(readdirSync(folder), ['whole,eth0.json']);
    state.removePending({ containerId: 'whole', ifname: 'eth0' });
    new NodeState(join(dir, 'never'), () => undefined).sweepUnfinished(0);
  });

  test('no two attachments share a file, whatever their names', () => {
    const state = open();
    const long = 'c'.repeat(255);
    const attachments: [string, string][] = [
      ['x', 'eth0.1'],
      ['x.eth0', '1'],
      ['x', 'a,b'],
      [long, 'eth0'],
      [long, 'eth1'],
      ['x', 'täg'],
    ];
    for (const [containerId, ifname] of attachments) state.savePending(record(containerId, ifname));
    assert.equal(state.listPending().length, attachments.length);
    for (const [containerId, ifname] of attachments) {
      assert.deepEqual(state.readPending({ containerId, ifname }), record(containerId, ifname));
      state.removePending({ containerId, ifname });
    }
    assert.deepEqual(readdirSync(join(dir, 'a', 'b', 'pending')), []);
  });

  test('what cannot be read counts as absent, is told, and keeps no other back', () => {
    const complaints: string[] = [];
    const state = open(complaints);
    state.savePending(record('good', 'eth0'));
    writeFileSync(join(dir, 'a', 'b', 'pending', 'bad.json'), '{"v":1,');
    assert.deepEqual(
      state.listPending().map(({ containerId }) => containerId),
      ['good'],
    );
    assert.match(complaints.join(), /bad\.json: .*JSON/);
    state.removePending(record('good', 'eth0'));
  });

  test('a folder that cannot be made is an error, and soon', () => {
    const state = new NodeState('/proc/nope/cellnet', () => undefined);
    assert.throws(() => state.savePending(record('x', 'eth0')), {
      code: 5,
      message: /cannot write \/proc\/nope/,
    });
  });

  test('one call at a time has an attachment; others wait', async () => {
    const attachment = { containerId: 'x', ifname: 'eth0' };
    const unlock = tryLock(dir, attachment);
    assert.ok(unlock);
    assert.equal(tryLock(dir, attachment), undefined);
    let got = false;
    const waiting = lock(dir, attachment).then((release) => {
      got = true;
      release();
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(got, false);
    unlock();
    await waiting;
    const again = tryLock(dir, attachment);
    assert.ok(again);
    again();
  });
});
