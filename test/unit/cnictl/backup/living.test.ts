import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatBackup, parseBackup } from '../../../../cnictl/backup/format.ts';
import { aliveKey } from '../../../../ipam/records/alive-record.ts';
import { encodeMachineRecord, machineKey } from '../../../../ipam/records/machine-record.ts';
import { encodeSetBack, SET_BACK } from '../../../../ipam/records/set-back-record.ts';
import { put, type Put } from '../../../../ipam/records/transaction.ts';
import { CliWorld } from '../../../golden/world.ts';
import { recordOf } from '../../ipam/machines.ts';

const KEY = machineKey('node-1');

/** Returns a world without pods, and with a backup in /b. */
const backedUp = async (): Promise<CliWorld> => {
  const world = await CliWorld.make();
  world.pods = [];
  const ran = await world.run('backup /b');
  assert.equal(ran.status, 0, ran.stderr);
  return world;
};
/** What node-1 writes by itself after it has changed its blocks once more than the backup says. */
const later = (world: CliWorld): { value: string; writes: Put[] } => {
  const record = recordOf(world.ipam, 'node-1');
  assert.ok(record);
  const value = encodeMachineRecord({ ...record, generation: record.generation + 1, mark: 'later' });
  const setBack = encodeSetBack({ at: world.ipam.now, node: 'node-1', reason: 'gone' });
  const alive = world.ipam.store.entries.get(aliveKey('node-1'))?.value ?? '';
  return { value, writes: [put(KEY, value), put(SET_BACK, setBack), put(aliveKey('node-1'), alive)] };
};

suite('what living nodes write by themselves, in a backup', () => {
  test('an agent is not in it, the machine of each node is', async () => {
    const world = await backedUp();
    const text = world.files.get('/b') ?? '';
    assert.doesNotMatch(text, /alive\//);
    assert.match(text, /"key":"machines\/node-1"/);
  });

  test('is in the way of no whole restore, and stays as it is', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const { value, writes } = later(world);
    store.entries.clear();
    await store.commit([], writes);
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr + ran.stdout);
    assert.equal(store.entries.get(KEY)?.value, value, 'no old count over a newer one');
    assert.ok(store.entries.has(machineKey('node-2')));
    assert.ok(store.entries.has('ranges/blue'));
  });

  test('a node that writes while the restore goes on does not fail it', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const { value, writes } = later(world);
    store.entries.clear();
    let commits = 0;
    store.before = async (kind) => {
      if (kind !== 'commit' || ++commits !== 1) return;
      await store.commit([], writes);
    };
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr + ran.stdout);
    assert.equal(store.entries.get(KEY)?.value, value);
    assert.ok(store.entries.has('ranges/blue'));
  });

  test('collides with nothing in a merge', async () => {
    const world = await backedUp();
    const { store } = world.ipam;
    const { value, writes } = later(world);
    await store.commit(
      [],
      [...writes, { kind: 'delete', key: machineKey('node-2') }, put('ranges/x', '{"v":9}')],
    );
    const ran = await world.run('restore /b --merge --yes');
    assert.equal(ran.status, 0, ran.stderr + ran.stdout);
    assert.equal(store.entries.get(KEY)?.value, value);
    assert.ok(store.entries.has(machineKey('node-2')), 'a missing one is put back');
  });

  test("an agent's key in a backup is not put back: nothing would end it", async () => {
    const world = await backedUp();
    const { header, records } = parseBackup(world.files.get('/b') ?? '', '/b');
    const more = [{ key: 'alive/node-9', value: '{}' }, ...records];
    const { etcdPrefix, cluster, revision, takenAt, by } = header;
    const { lines } = formatBackup({ etcdPrefix, cluster, revision, takenAt, by }, more);
    world.files.set('/b', lines.join(''));
    world.ipam.store.entries.clear();
    const ran = await world.run('restore /b --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.ok(!world.ipam.store.entries.has('alive/node-9'));
  });
});
