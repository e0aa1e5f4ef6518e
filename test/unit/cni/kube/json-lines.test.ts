import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JsonLines, LONGEST_LINE } from '../../../../cni/kube/json-lines.ts';

function split(bytes: Buffer, ends: readonly number[], lines = new JsonLines()): string[] {
  const cuts = [0, ...[...ends].sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).flatMap((end, i) => [...lines.add(bytes.subarray(cuts[i], end))]);
}

test('lines may be cut anywhere, also within a character', () => {
  const texts = ['{"a":1}', '"日本語 🚀"', '"é"'];
  const bytes = Buffer.from(`${texts.join('\n')}\n`);
  for (let end = 0; end <= bytes.length; end++) assert.deepEqual(split(bytes, [end]), texts);
  assert.deepEqual(split(bytes, [...bytes.keys()]), texts);
});

test('any texts, cut at any places', () => {
  const text = fc.string({ unit: 'binary', minLength: 1 }).map((each) => JSON.stringify(each));
  fc.assert(
    fc.property(fc.array(text), fc.array(fc.nat(2000)), (texts, ends) => {
      const bytes = Buffer.from(texts.map((each) => `${each}\n`).join(''));
      const within = ends.map((end) => Math.min(end, bytes.length));
      assert.deepEqual(split(bytes, within), texts);
    }),
  );
});

test('a line without an end is not told; blank lines are no lines', () => {
  const lines = new JsonLines();
  assert.deepEqual([...lines.add(Buffer.from('\n\r\n \n{"a"'))], []);
  assert.deepEqual([...lines.add(Buffer.from(':1}'))], []);
  assert.deepEqual([...lines.add(Buffer.from('\n'))], ['{"a":1}']);
});

test('a line has a bound, whether it comes at once or in parts', () => {
  const full = Buffer.alloc(LONGEST_LINE, 'x');
  assert.equal([...new JsonLines().add(Buffer.concat([full, Buffer.from('\n')]))].length, 1);
  assert.throws(() => [...new JsonLines().add(Buffer.alloc(LONGEST_LINE + 1, 'x'))], /4000000 bytes/);
  const lines = new JsonLines(10);
  assert.deepEqual([...lines.add(Buffer.from('123456789\n12345'))], ['123456789']);
  assert.throws(() => [...lines.add(Buffer.from('678901'))], /more than 10 bytes/);
});
