import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { after, comparePositions, formatPosition, parsePosition } from '../../../../ipam/events/position.ts';

const position = fc.record({ revision: fc.nat(), further: fc.nat(1_000) }, { noNullPrototype: true });

test('a position is read as it was written', () => {
  fc.assert(fc.property(position, (one) => assert.deepEqual(parsePosition(formatPosition(one), 'it'), one)));
  assert.equal(formatPosition(after(912)), '912');
  assert.deepEqual(parsePosition('912.3', 'it'), { revision: 911, further: 3 });
});

test('behind an event of a revision comes behind the revision before, and before the revision', () => {
  const inOrder = ['911', '912.1', '912.2', '912', '913.1'].map((text) => parsePosition(text, 'it'));
  const shuffled = [...inOrder].reverse().sort(comparePositions);
  assert.deepEqual(shuffled, inOrder);
});

test('anything else is refused with its name and its value', () => {
  for (const text of ['', '-1', '1.0', '0.1', '1.', '1.2.3', 'x', ' 1', '01', '99999999999999999'])
    assert.throws(() => parsePosition(text, '--after'), {
      code: 'invalid',
      message: `--after '${text}': expected a position of an event, such as 912 or 912.3`,
    });
});
