import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findOverlaps } from '../soak/journal.ts';

const line = (event: 'up' | 'down', ip: string, containerId: string): string =>
  JSON.stringify({ at: 0, event, ip, containerId, node: 'n' });

test('the soak’s journal finds an address that two had at a time, and no other', () => {
  const text = [
    line('up', '10.0.0.1', 'a'),
    line('up', '10.0.0.2', 'b'),
    line('down', '10.0.0.1', 'a'),
    line('up', '10.0.0.1', 'c'),
    line('up', '10.0.0.2', 'd'),
  ].join('\n');
  assert.deepEqual(findOverlaps(text), {
    lines: 5,
    overlaps: [{ ip: '10.0.0.2', first: 'b', second: 'd' }],
  });
  assert.throws(() => findOverlaps(line('down', '10.0.0.9', 'x')), /never began/);
});
