import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DISTRUST_MS, encodeSetBack, SET_BACK } from '../../../../ipam/records/set-back-record.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { CliWorld } from '../../../golden/world.ts';

const REASON = "etcd's revision went back from 912 to 400";

async function setBack(agoMs: number): Promise<CliWorld> {
  const world = await CliWorld.make();
  const value = encodeSetBack({ at: world.ipam.now - agoMs, node: 'node-7', reason: REASON });
  await world.ipam.store.commit([], [put(SET_BACK, value)]);
  return world;
}

suite('an etcd that was set back', () => {
  test('is told by doctor and status while new addresses are proven on the wire', async () => {
    const world = await setBack(60_000);
    const told = new RegExp(
      `${REASON} \\(told by node-7, 1m ago\\); until 2026-01-01T0\\S+Z each new address`,
    );
    const doctor = await world.run('doctor');
    assert.match(doctor.stdout, /warn +set-back/);
    assert.match(doctor.stdout, told);
    const status = await world.run('status');
    assert.match(status.stdout, new RegExp(`Set back: +${told.source}`));
    const { setBack: json } = JSON.parse((await world.run('status -o json')).stdout) as {
      setBack: { node: string; reason: string };
    };
    assert.deepEqual([json.node, json.reason], ['node-7', REASON]);
  });

  test('afterwards doctor remembers it without a warning, and status is silent', async () => {
    const world = await setBack(DISTRUST_MS + 1);
    assert.match((await world.run('doctor')).stdout, new RegExp(`ok +set-back +${REASON} \\(told by`));
    assert.doesNotMatch((await world.run('status')).stdout, /Set back/);
  });

  test('a record that cannot be read is a failure of doctor, and ends neither', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put(SET_BACK, '{"v":1')]);
    assert.match((await world.run('doctor')).stdout, /fail +set-back +etcd key 'cluster\/set-back'/);
    assert.equal((await world.run('status')).status, 0);
  });
});
