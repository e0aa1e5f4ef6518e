import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeMachine } from '../../../../cnictl/doctor/machine.ts';
import type { NameView } from '../../../../ipam/node/name-records.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { CliWorld } from '../../../golden/world.ts';
import { machine } from '../../ipam/machines.ts';

const [A, B] = [machine('aaa', { machineId: 'a' }), machine('bbb', { machineId: 'b' })];
const entry = { key: 'k', value: '', revision: '1' };
const view = (more: Partial<NameView> = {}): NameView => ({
  node: 'n',
  owner: { entry, record: { generation: 1, mark: 'm', machine: A } },
  alive: undefined,
  problems: [],
  ...more,
});
const alive = (id: string): NameView['alive'] => ({
  entry,
  record: { machine: id, bootId: 'b', since: Date.parse('2026-01-01T00:00:00Z') },
});

test('the machine of a node name: this one, another one, none yet', () => {
  assert.equal(judgeMachine(view(), A).level, 'ok');
  assert.equal(judgeMachine(view({ alive: alive('aaa') }), A).level, 'ok');
  const none = judgeMachine(view({ owner: undefined }), B);
  assert.deepEqual(
    [none.level, none.detail],
    ['ok', "machine bbb (b) writes as the first under node name 'n'"],
  );
  const other = judgeMachine(view(), B);
  assert.equal(other.level, 'fail');
  assert.match(other.detail, /'n' belongs to machine aaa \(a\); this is machine bbb \(b\)/);
  assert.match(other.remedy, /cnictl node adopt n --machine bbb/);
  const rival = judgeMachine(view({ alive: alive('bbb') }), A);
  assert.equal(rival.level, 'fail');
  assert.match(rival.detail, /machine bbb is alive under node name 'n' since 2026-01-01/);
  assert.equal(judgeMachine(view({ problems: ['it is broken'] }), A).detail, 'it is broken');
});

test('doctor tells it on a node, and says nothing of it from elsewhere', async () => {
  const world = await CliWorld.make();
  world.machine = B;
  const line = /fail +machine +node name 'node-1' belongs to machine 3f2a9c41d0b7/;
  assert.match((await world.run('doctor --conf-dir /none')).stdout, line);
  assert.doesNotMatch((await world.run('doctor --cluster')).stdout, /machine/);
  await world.ipam.store.commit([], [put('machines/node-1', '{"v":9}')]);
  assert.match(
    (await world.run('doctor --conf-dir /none')).stdout,
    /fail +machine +etcd key 'machines\/node-1'/,
  );
});
