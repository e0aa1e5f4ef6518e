import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exchange, encodeRequests } from '../../../../cni/netlink/exchange.ts';
import type { Request } from '../../../../cni/netlink/request.ts';

const request = (operation: string, size = 4): Request<number> => ({
  operation,
  type: 18,
  flags: 5,
  payload: Buffer.alloc(size, 0xaa),
  decode: (replies) => replies.length,
});

const SOON = 2_000;

/** Builds a message as the kernel sends it: struct nlmsghdr, then the rest. */
const fromKernel = (type: number, seq: number, rest: Buffer, flags = 0): Buffer => {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + rest.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(seq, 8);
  return Buffer.concat([header, rest]);
};

const int32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
};

const acknowledge = (seq: number, errno = 0): Buffer =>
  fromKernel(2, seq, Buffer.concat([int32(-errno), Buffer.alloc(16)]));

test('requests are numbered in order, aligned, and sent as one', () => {
  const message = encodeRequests([request('a', 5), request('b', 4)], 41);
  assert.equal(message.length, 24 + 20);
  assert.equal(message.readUInt32LE(0), 21, 'the length leaves the padding out');
  assert.equal(message.readUInt32LE(8), 41);
  assert.equal(message.readUInt32LE(24), 20);
  assert.equal(message.readUInt32LE(24 + 8), 42);
});

test('numbers start anew before they leave 31 bits', () => {
  const exchange = new Exchange([request('a'), request('b')], 2 ** 31 - 2, SOON);
  assert.equal(exchange.lastSequence, 2);
  exchange.receive(Buffer.concat([acknowledge(1), acknowledge(2)]));
});

test('outcomes come in the order of the requests, each with its own error', async () => {
  const exchange = new Exchange([request('first'), request('second'), request('third')], 0, SOON);
  exchange.receive(acknowledge(3));
  exchange.receive(fromKernel(16, 2, Buffer.alloc(16)));
  exchange.receive(Buffer.concat([acknowledge(1, 17), acknowledge(2)]));
  const [first, second, third] = await exchange.finished;
  assert.equal(first?.error?.code, 'EEXIST');
  assert.equal(first.error.operation, 'first');
  assert.deepEqual(second, { answer: 1 });
  assert.deepEqual(third, { answer: 0 });
});

test("the kernel's sentence is found after a request that is echoed whole, or capped", async () => {
  const sentence = Buffer.concat([Buffer.from([12, 0, 1, 0]), Buffer.from('no good\0')]);
  const echoed = fromKernel(18, 1, Buffer.alloc(6), 5);
  const whole = Buffer.concat([int32(-22), echoed, Buffer.alloc(2), sentence]);
  const capped = Buffer.concat([int32(-22), echoed.subarray(0, 16), sentence]);
  for (const [rest, flags] of [
    [whole, 0x200],
    [capped, 0x300],
  ] as const) {
    const exchange = new Exchange([request('ask')], 0, SOON);
    exchange.receive(fromKernel(2, 1, rest, flags));
    const [outcome] = await exchange.finished;
    assert.equal(outcome?.error?.kernelMessage, 'no good');
    assert.equal(outcome.error.message, 'ask: no good (EINVAL)');
  }
});

test('a list that changed while it was read is an error, not a shorter list', async () => {
  const exchange = new Exchange([request('list')], 0, SOON);
  exchange.receive(fromKernel(16, 1, Buffer.alloc(16), 0x12));
  exchange.receive(fromKernel(3, 1, int32(0), 2));
  const [outcome] = await exchange.finished;
  assert.equal(outcome?.error?.code, 'EINTR');
});

test('a list that ends with an error is an error', async () => {
  const exchange = new Exchange([request('list')], 0, SOON);
  exchange.receive(fromKernel(3, 1, int32(-105), 2));
  assert.equal((await exchange.finished)[0]?.error?.code, 'ENOBUFS');
});

test('at the deadline the error names what is still unanswered; what comes later is left aside', async () => {
  const exchange = new Exchange([request('first'), request('second')], 0, 20);
  exchange.receive(acknowledge(1));
  exchange.receive(acknowledge(77));
  await assert.rejects(exchange.finished, { name: 'NetlinkError', code: 'ETIMEDOUT', operation: 'second' });
  exchange.receive(acknowledge(2));
});

test('nothing asked is answered at once', async () => {
  const exchange = new Exchange([], 5, SOON);
  assert.ok(exchange.settled);
  assert.deepEqual(await exchange.finished, []);
});

test('a reply that cannot be read fails the exchange', async () => {
  const exchange = new Exchange([request('ask')], 0, SOON);
  exchange.receive(Buffer.alloc(7));
  await assert.rejects(exchange.finished, /Invalid header length/);
});
