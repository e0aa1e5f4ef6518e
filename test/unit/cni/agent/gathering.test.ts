import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { Gathering } from '../../../../cni/agent/gathering.ts';

/** Work that ends when it is told to. */
function work(): { readonly done: Promise<void>; readonly end: (error?: Error) => void } {
  let end: (error?: Error) => void = () => undefined;
  const done = new Promise<void>((resolve, reject) => {
    end = (error) => (error ? reject(error) : resolve());
  });
  return { done, end };
}

/** Waits in the gathering; `gone` tells whether it has gone on. */
function waits(gathering: Gathering): { gone: boolean } {
  const state = { gone: false };
  void gathering.all().then(() => (state.gone = true));
  return state;
}

test('alone nobody waits', async () => {
  await new Gathering().all();
});

test('who is ready waits for those on their way, and all go on together, also past one that failed', async () => {
  const gathering = new Gathering();
  const [a, b] = [work(), work()];
  const coming = [gathering.comesAfter(a.done), gathering.comesAfter(b.done)];
  for (const each of coming) each.catch(() => undefined);
  const waiting = [waits(gathering), waits(gathering)];
  a.end();
  await nextTurn();
  assert.deepEqual(waiting, [{ gone: false }, { gone: false }]);
  b.end(new Error('no link'));
  await assert.rejects(coming[1] ?? Promise.resolve(), /no link/);
  await nextTurn();
  await nextTurn();
  assert.deepEqual(waiting, [{ gone: true }, { gone: true }]);
  await gathering.all();
});

test('patience ends: all that wait go on with the first of them', { timeout: 5_000 }, async () => {
  const gathering = new Gathering();
  const slow = work();
  const coming = gathering.comesAfter(slow.done);
  await Promise.all([gathering.all(), gathering.all()]);
  slow.end();
  await coming;
});
