import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatDuration, parseDuration } from '../../../cnictl/context/durations.ts';
import { pause } from '../../../cnictl/context/pause.ts';

suite('durations', () => {
  test('up to 24 hours, in milliseconds', () => {
    for (const [text, ms] of [
      ['0', 0],
      ['100ms', 100],
      ['1h30m', 5_400_000],
      ['24h', 86_400_000],
      ['1d', 86_400_000],
    ] as const)
      assert.equal(parseDuration(text, '--grace'), ms);
  });

  test('longer ones are refused, however long', () => {
    for (const text of ['30d', '24h1ms', '25h', `${'9'.repeat(400)}s`])
      assert.throws(() => parseDuration(text, '--grace'), {
        name: 'CommandError',
        message: `--grace '${text}': expected at most 24h`,
      });
  });

  test('are told whole, as they can be typed again', () => {
    for (const text of ['0s', '100ms', '1s500ms', '30s', '1m30s', '1h30m', '1h1m1s', '1d']) {
      assert.equal(formatDuration(parseDuration(text, '--grace')), text);
    }
  });
});

suite('pause', () => {
  const waits = async (ms: number): Promise<number[]> => {
    const asked: number[] = [];
    await pause(ms, undefined, (part) => {
      asked.push(part);
      return Promise.resolve();
    });
    return asked;
  };

  test('no timer is longer than Node takes, and together they are as long as was asked for', async () => {
    const thirtyDays = 30 * 86_400_000;
    assert.deepEqual(await waits(thirtyDays), [2 ** 31 - 1, thirtyDays - (2 ** 31 - 1)]);
    assert.deepEqual(await waits(60_000), [60_000]);
    assert.deepEqual(await waits(0), []);
  });

  test('what is no number is no short wait', () => assert.rejects(pause(Number.NaN), RangeError));
});
