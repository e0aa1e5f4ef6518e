import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { MessageFraming } from '../../../../cni/openflow/framing.ts';
import type { Message } from '../../../../cni/openflow/header.ts';

const message = (type: number, xid: number, body = ''): Buffer => {
  const header = Buffer.from([6, type, 0, 8 + body.length, 0, 0, 0, xid]);
  return Buffer.concat([header, Buffer.from(body)]);
};
const read = (chunks: readonly Buffer[]): string[] => {
  const framing = new MessageFraming();
  const text = ({ type, xid, body }: Message): string => `${type}/${xid} ${body.toString()}`;
  return chunks.flatMap((chunk) => [...framing.push(chunk)].map(text));
};

suite('Messages of OpenFlow in a stream of bytes', () => {
  const bytes = Buffer.concat([message(2, 1), message(1, 2, 'some data'), message(3, 3, 'x')]);
  const expected = ['2/1 ', '1/2 some data', '3/3 x'];

  test('are the same wherever the chunks end', () => {
    assert.deepEqual(read([bytes]), expected);
    assert.deepEqual(read([...bytes].map((byte) => Buffer.of(byte))), expected);
    for (let at = 0; at <= bytes.length; at++)
      assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), expected, `split at ${at}`);
  });

  test('of a length that has no room for the header end the reading', () => {
    const bad = Buffer.from([6, 0, 0, 7, 0, 0, 0, 1]);
    assert.throws(() => read([bad]), /a message of 7 bytes: expected 8 or more/);
    assert.throws(() => read([Buffer.concat([message(2, 1), bad])]), RangeError);
  });
});
