import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BurstBarrier } from '../../../../cni/agent/burst-barrier.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import type { Effects } from '../../../../ipam/model/effects.ts';

/** The effects of this process, but with timers that keep the test alive. */
const effects: Effects = {
  ...hostEffects,
  schedule: (ms, work) => {
    const timer = setTimeout(work, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Waits at the barrier. `gone` becomes true when the barrier lets the caller go on. */
function waits(gathering: BurstBarrier): { gone: boolean } {
  const state = { gone: false };
  void gathering.all().then(() => (state.gone = true));
  return state;
}

test('alone nobody waits', async () => {
  await new BurstBarrier(effects).all();
});

test('who is ready waits for those on their way, and all go on together, also past one that gives up', async () => {
  // The barrier's own patience must not end the wait on a slow machine.
  const patient = { ...effects, schedule: () => ({ cancel: () => undefined }) };
  const gathering = new BurstBarrier(patient);
  for (const name of ['a', 'b', 'c']) gathering.expect(name);
  assert.equal(gathering.size, 3);
  gathering.forget('a');
  const waiting = [waits(gathering), waits(gathering)];
  gathering.forget('b');
  gathering.forget('nobody');
  await nextTurn();
  assert.deepEqual(waiting, [{ gone: false }, { gone: false }]);
  gathering.forget('c');
  await nextTurn();
  await nextTurn();
  assert.deepEqual(waiting, [{ gone: true }, { gone: true }]);
  await gathering.all();
});

test('the last that arrives goes with those that have waited for him', async () => {
  const gathering = new BurstBarrier(effects);
  gathering.expect('last');
  const gone: string[] = [];
  void gathering.all().then(() => gone.push('first'));
  gathering.forget('last');
  void gathering.all().then(() => gone.push('last'));
  await Promise.resolve();
  assert.deepEqual(gone, []);
  await nextTurn();
  await nextTurn();
  assert.deepEqual(gone, ['first', 'last']);
});

test('patience ends: all that wait go on with the first of them', { timeout: 5_000 }, async () => {
  const gathering = new BurstBarrier(effects);
  gathering.expect('slow');
  await Promise.all([gathering.all(), gathering.all()]);
  assert.equal(gathering.size, 1);
});

test('who never comes is waited for no longer than half a second', { timeout: 5_000 }, async () => {
  const gathering = new BurstBarrier(effects);
  gathering.expect('lost');
  const started = performance.now();
  while (gathering.size > 0) await gathering.all();
  assert.ok(performance.now() - started >= 500);
});
