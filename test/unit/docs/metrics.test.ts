import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metrics } from '../../../cni/agent/metrics.ts';

test('every metric of ours is documented with its type and labels, and no other', async () => {
  const metrics = new Metrics('1.2.3', {
    ranges: () => [{ range: 'blue', blocks: 1, used: 1, cooling: 1, free: 1 }],
    pending: () => 0,
  });
  metrics.beginCall('ADD')(false);
  const hook = metrics.stepTimer();
  hook('ADD', 'allocate', 'before');
  hook('ADD', 'allocate', 'after');
  const text = await metrics.text();
  const actual = [...text.matchAll(/^# TYPE (cellnet_\S+) (\S+)\n[^{\n]+(?:\{(.*)\})? /gm)].map(
    ([, name, type, labels = '']) => {
      const keys = [...labels.matchAll(/(\w+)="/g)].map(([, key]) => key).filter((key) => key !== 'le');
      return [name, type, keys.sort().join()];
    },
  );
  const docs = readFileSync(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
  const documented = [...docs.matchAll(/^\| `(cellnet_\w+)` \| (\w+)(.*?) \|/gm)].map(
    ([, name, type, labels = '']) => {
      const keys = [...labels.replace(/\(.*?\)/g, '').matchAll(/`(\w+)`/g)].map(([, key]) => key);
      return [name, type, keys.sort().join()];
    },
  );
  assert.deepEqual(documented.sort(), actual.sort());
});
