import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

  test('an attachment whose ID leads out of the folder has its record in the folder', () => {
    const state = open();
    const outside = join(dir, 'a', 'outside,eth0.json');
    writeFileSync(outside, 'precious');
    for (const [containerId, ifname] of [
      ['../../outside', 'eth0'],
      ['..', 'eth0'],
      ['x', '../../../x'],
      ['/etc/x', 'eth0'],
      ['', ''],
      ['x', '\ud800'],
    ] as const) {
      const attachment = { containerId, ifname };
      assert.equal(state.readAttachment(attachment), undefined);
      state.removeAttachment(attachment);
      state.removePending(attachment);
      state.saveAttachment({ ...record('x', 'eth0'), ...attachment });
    }
    assert.equal(readFileSync(outside, 'utf8'), 'precious');
    assert.deepEqual(readdirSync(join(dir, 'a')).sort(), ['b', 'outside,eth0.json']);
    assert.deepEqual(readdirSync(join(dir, 'a', 'b')).sort(), ['attachments', 'pending']);
    rmSync(join(dir, 'a', 'b', 'attachments'), { recursive: true });
  });

  test('a record whose values no call writes counts as absent, and is told', () => {
    const complaints: string[] = [];
    const state = open(complaints);
    const folder = join(dir, 'a', 'b', 'pending');
    const write = (name: string, changes: object): void =>
      writeFileSync(
        join(folder, `${name},eth0.json`),
        JSON.stringify({ ...record(name, 'eth0'), ...changes }).replace('"∞"', '1e400'),
      );
    state.savePending(record('good', 'eth0'));
    write('id', { containerId: '../../x' });
    write('ifname', { ifname: '../../x' });
    write('until', { until: '∞' });
    write('created', { createdAt: 1e300 });
    write('moved', { containerId: 'good' });
    assert.deepEqual(
      state.listPending().map(({ containerId }) => containerId),
      ['good'],
    );
    for (const told of [
      /id,eth0\.json: key 'containerId' is "\.\.\/\.\.\/x": expected a container ID/,
      /ifname,eth0\.json: key 'ifname' is/,
      /until,eth0\.json: key 'until' is/,
      /created,eth0\.json: key 'createdAt' is 1e\+300: expected milliseconds/,
      /moved,eth0\.json: holds the record of good\/eth0/,
    ])
      assert.match(complaints.join('\n'), told);
    rmSync(folder, { recursive: true });
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
