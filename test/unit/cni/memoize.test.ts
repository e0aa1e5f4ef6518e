import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoize } from '../../../cni/protocol/memoize.ts';

test('the last results are known, by all arguments; failures and what is too long are not kept', () => {
  const asked: string[] = [];
  const work = memoize((a: string, b: string) => {
    asked.push(`${a}+${b}`);
    if (a === 'bad') throw new Error('bad');
    return { a, b };
  });
  assert.equal(work('1', '2'), work('1', '2'));
  assert.deepEqual(work('12', ''), { a: '12', b: '' });
  assert.deepEqual(asked, ['1+2', '12+']);
  assert.throws(() => work('bad', ''), /bad/);
  assert.throws(() => work('bad', ''), /bad/);
  assert.equal(asked.length, 4);
  const long = 'x'.repeat(70_000);
  assert.notEqual(work(long, ''), work(long, ''));
  for (let i = 0; i < 20; i++) work(`n${i}`, '');
  work('1', '2');
  assert.equal(asked.at(-1), '1+2', 'the oldest went');
});
