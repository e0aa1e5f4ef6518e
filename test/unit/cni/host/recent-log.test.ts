import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepRecent } from '../../../../cni/host/recent-log.ts';

test('the newest thousand lines are kept as JSON, and every line reaches the log', () => {
  const told: string[] = [];
  const tell = (message: string): void => void told.push(message);
  const { log, recent } = keepRecent({ info: tell, warn: tell, error: tell, flush: () => Promise.resolve() });
  log.warn('first', { node: 'node-1' });
  assert.match(recent(), /^\{"level":"warn","time":"[^"]+Z","node":"node-1","msg":"first"\}\n$/);
  for (let n = 0; n < 1_000; n++) log.info(`line ${n}`);
  log.error('last');
  const lines = recent().trimEnd().split('\n');
  assert.deepEqual([lines.length, told.length], [1_000, 1_002]);
  assert.match(lines[0] ?? '', /line 1"/);
  assert.match(lines.at(-1) ?? '', /"error".*last/);
});
