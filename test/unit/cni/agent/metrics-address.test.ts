import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  defaultMetricsAddress,
  formatMetricsAddress,
  parseMetricsAddress,
} from '../../../../cni/agent/metrics-address.ts';

test('a unix socket, a loopback port, or off', () => {
  for (const text of ['unix:/run/cellnet/metrics.sock', '127.0.0.1:9461', '127.8.0.1:1', '[::1]:65535']) {
    const address = parseMetricsAddress(text);
    assert.equal(address && formatMetricsAddress(address), text);
  }
  assert.equal(parseMetricsAddress('off'), undefined);
});

test('what others could reach, and what is no address, is refused with what was expected', () => {
  const wrong = [
    '0.0.0.0:9461',
    '10.0.0.1:9461',
    '[::]:9461',
    '[fe80::1]:9461',
    ':9461',
    '9461',
    'localhost:9461',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:70000',
    '127.0.0.1.example.org:80',
    'unix:metrics.sock',
    '',
  ];
  for (const text of wrong) {
    assert.throws(
      () => parseMetricsAddress(text),
      (error: Error) =>
        error.message.includes(JSON.stringify(text)) &&
        /expected unix:\/PATH, a loopback/.test(error.message),
      text,
    );
  }
});

test('by default beside the socket of the agent', () => {
  assert.deepEqual(defaultMetricsAddress('/run/cellnet/agent.sock'), {
    kind: 'unix',
    path: '/run/cellnet/metrics.sock',
  });
});
