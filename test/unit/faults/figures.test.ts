import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  callsBeyondDeadline,
  callsWithin,
  classOf,
  countSilent,
  figuresOf,
  recoveryOf,
  type CallRecord,
} from '../../faults/figures.ts';

const call = (change: Partial<CallRecord> = {}): CallRecord => ({
  node: 'node-1',
  verb: 'ADD',
  startedAt: 0,
  ms: 100,
  code: 0,
  message: '',
  ...change,
});

suite('figures of a fault run', () => {
  test('refusals are counted by code and message, without what differs', () => {
    const told = figuresOf([
      call({ ms: 10 }),
      call({ ms: 30, code: 11, message: 'etcd at http://10.0.0.1:2379,http://10.0.0.2:2379 did not answer' }),
      call({ ms: 20, code: 11, message: 'etcd at http://10.0.0.3:2379 did not answer' }),
      call({ ms: 40, code: 5, message: "cannot write '/var/lib/cellnet/attachments': ENOSPC" }),
    ]);
    assert.deepEqual(told, {
      done: 1,
      refused: [
        { code: 11, message: 'etcd at … did not answer', count: 2 },
        { code: 5, message: "cannot write '…': ENOSPC", count: 1 },
      ],
      medianMs: 20,
      longestMs: 40,
    });
    assert.deepEqual(figuresOf([]), { done: 0, refused: [], medianMs: 0, longestMs: 0 });
  });

  test('a long message is cut, and names of links and containers are left out', () => {
    assert.equal(classOf(`port cell0123456789a of ${'ab'.repeat(32)}`), 'port … of …');
    assert.equal(classOf('x y'.repeat(50)).length, 91);
  });

  test('calls within a time are those that overlap with it', () => {
    const calls = [call({ startedAt: 0 }), call({ startedAt: 150 }), call({ startedAt: 500 })];
    assert.deepEqual(callsWithin(calls, 90, 200), calls.slice(0, 2));
  });

  test('a call beyond its deadline: DEL after 13 s, ADD after 28 s, and one without an answer', () => {
    const calls = [
      call({ ms: 27_000, code: 11 }),
      call({ ms: 29_000, code: 11 }),
      call({ verb: 'DEL', ms: 12_000 }),
      call({ verb: 'DEL', ms: 14_000 }),
      call({ code: undefined }),
    ];
    assert.deepEqual(callsBeyondDeadline(calls, 0), [calls[1], calls[3], calls[4]]);
    assert.deepEqual(callsBeyondDeadline(calls, 8_000), [calls[4]]);
  });

  test('recovery: the first ADD that succeeds with no failure after it, on the slowest node', () => {
    const nodes = ['node-1', 'node-2'];
    const calls = [
      call({ startedAt: 900 }),
      call({ startedAt: 1_000 }),
      call({ startedAt: 1_200, code: 11 }),
      call({ startedAt: 1_500, verb: 'DEL' }),
      call({ startedAt: 2_000 }),
      call({ startedAt: 3_000 }),
    ];
    assert.equal(recoveryOf(calls, ['node-1'], 1_000), 1_100);
    assert.equal(recoveryOf(calls, nodes, 1_000), undefined);
    assert.equal(recoveryOf([...calls, call({ node: 'node-2', startedAt: 2_500 })], nodes, 1_000), 1_600);
    assert.equal(recoveryOf([...calls, call({ startedAt: 4_000, code: 11 })], ['node-1'], 1_000), undefined);
  });

  test('an echo request without an answer counts, and so does one whose answer came late', () => {
    const line = (seq: number, ms: string): string =>
      `64 bytes from 10.20.0.2: icmp_seq=${seq} ttl=64 time=${ms} ms`;
    const lines = ['PING 10.20.0.2', line(1, '0.05'), line(2, '7980'), line(3, '999')];
    assert.equal(countSilent(lines.join('\n')), undefined);
    assert.equal(countSilent([...lines, '5 packets transmitted, 3 received'].join('\n')), 3);
  });
});
