import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Writer } from '../../../../cni/openflow/bytes.ts';

const hex = (write: (to: Writer) => void): string => {
  const to = new Writer(1);
  write(to);
  return to.take().toString('hex');
};

suite('Writing of numbers', () => {
  test('takes any length of a field', () => {
    const value = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10n;
    for (const length of [1, 2, 4, 6, 8, 10, 12, 14, 16]) {
      const expected = value
        .toString(16)
        .padStart(32, '0')
        .slice(-2 * length);
      assert.equal(
        hex((to) => to.value(BigInt(`0x${expected}`), length)),
        expected,
      );
      const largest = (1n << BigInt(8 * length)) - 1n;
      assert.equal(
        hex((to) => to.value(largest, length)),
        'ff'.repeat(length),
      );
      assert.throws(() => hex((to) => to.value(largest + 1n, length)), RangeError);
      assert.throws(() => hex((to) => to.value(-1n, length)), RangeError);
    }
  });

  test('fills in lengths, with the padding or without it', () => {
    const part = (to: Writer): void =>
      to.part(2, () => {
        to.u16(0xabcd);
        to.u16(0);
        to.u8(1);
      });
    assert.equal(hex(part), 'abcd000501');
    assert.equal(
      hex((to) => to.padded(() => part(to))),
      'abcd000501000000',
    );
    assert.equal(
      hex((to) => {
        to.u8(9);
        to.part(0, () => to.padded(() => to.u16(0)));
      }),
      '090008000000000000',
    );
  });

  test('refuses a part that is longer than its length can say', () => {
    const long = (to: Writer): void => to.part(0, () => to.zeros(65_536));
    assert.throws(() => hex(long), RangeError);
  });

  test('leaves what was taken as it is', () => {
    const to = new Writer();
    to.u32(1);
    const first = to.take();
    to.u32(2);
    assert.equal(first.toString('hex'), '00000001');
    assert.equal(to.take().toString('hex'), '00000002');
  });
});
