import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nextPauseMs } from '../../../../cni/agent/reconciler.ts';

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
