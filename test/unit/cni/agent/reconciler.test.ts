import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nextPauseMs, Reconciler } from '../../../../cni/agent/reconciler.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import { useFakeNode } from '../fake-platform.ts';

const NOTHING = { nextInMs: undefined };

suite('when the node is reconciled next', () => {
  test('after the interval, a tenth more or less', () => {
    assert.equal(nextPauseMs(NOTHING, 0, 60_000, 0), 54_000);
    assert.equal(nextPauseMs(NOTHING, 0, 60_000, 0.5), 60_000);
  });

  test('as soon as a second observation can prove something', () => {
    assert.equal(nextPauseMs({ nextInMs: 30_000 }, 0, 60_000, 0.5), 30_000);
    assert.equal(nextPauseMs({ nextInMs: 90_000 }, 0, 60_000, 0.5), 60_000);
  });

  test('soon after a failure, then ever later, but no later than the interval', () => {
    const pauses = [1, 2, 3, 6, 7, 1_000].map((n) => nextPauseMs(NOTHING, n, 60_000, 0.5));
    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 32_000, 60_000, 60_000]);
  });
});

suite('a reconcile that is asked for', () => {
  const node = useFakeNode();

  test('comes at once; one asked for during a reconcile, right after it; none before the start or after the end', async (t) => {
    const own = { stateDir: node.dir, ipam: undefined, ovs: undefined, bridge: 'br-cell' };
    const pauses: number[] = [];
    let begin: () => void = () => undefined;
    const schedule = (ms: number, work: () => void): { cancel: () => void } => {
      pauses.push(ms);
      begin = work;
      return { cancel: () => undefined };
    };
    let notes = 0;
    const reconciler = new Reconciler(
      () => ({ own, intervalMs: 60_000, graceMs: 0 }),
      () => node.fake.platform(),
      {
        noteReconcile: () => {
          notes++;
        },
      },
      { ...hostEffects, random: () => 0.5, schedule },
    );
    t.after(() => reconciler.stop());
    const run = async (): Promise<void> => {
      const before = [notes, pauses.length] as const;
      begin();
      while (notes === before[0] || pauses.length === before[1]) await new Promise(setImmediate);
    };
    reconciler.soon();
    assert.deepEqual(pauses, []);
    reconciler.start();
    await run();
    assert.deepEqual(pauses, [0, 60_000]);
    reconciler.soon();
    assert.deepEqual(pauses, [0, 60_000, 0]);
    const running = run();
    reconciler.soon();
    await running;
    assert.deepEqual(pauses, [0, 60_000, 0, 0]);
    await run();
    reconciler.stop();
    reconciler.soon();
    assert.deepEqual(pauses, [0, 60_000, 0, 0, 60_000]);
  });
});
