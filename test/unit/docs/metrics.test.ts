import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metrics } from '../../../cni/agent/metrics.ts';
import { CheckMetrics } from '../../../cnictl/check/metrics.ts';

/** Returns the names, types and labels of the metrics in a text that Prometheus reads. */
const served = (text: string): (string | undefined)[][] =>
  [...text.matchAll(/^# TYPE (cellnet_\S+) (\S+)\n[^{\n]+?(?:\{(.*)\})? /gm)].map(
    ([, name, type, labels = '']) => {
      const keys = [...labels.matchAll(/(\w+)="/g)].map(([, key]) => key).filter((key) => key !== 'le');
      return [name, type, keys.sort().join()];
    },
  );

/**
 * Returns the same from docs/operations/metrics.md: the metrics of `check --watch`, or those of the
 * agent.
 */
function documented(ofCheck: boolean): (string | undefined)[][] {
  const docs = readFileSync(join(import.meta.dirname, '../../../docs/operations/metrics.md'), 'utf8');
  return [...docs.matchAll(/^\| `(cellnet_\w+)` \| (\w+)(.*?) \|/gm)]
    .filter(([, name = '']) => name.startsWith('cellnet_check_') === ofCheck)
    .map(([, name, type, labels = '']) => {
      const keys = [...labels.replace(/\(.*?\)/g, '').matchAll(/`(\w+)`/g)].map(([, key]) => key);
      return [name, type, keys.sort().join()];
    });
}

test('every metric of check --watch is documented with its type and labels, and no other', async () => {
  const metrics = new CheckMetrics();
  metrics.found({
    allocated: 0,
    pods: 0,
    hostPods: 0,
    leaked: [],
    unknown: [],
    missing: [],
    conflicts: [],
    index: [],
    records: [],
    stranded: [],
    aliases: [],
    lost: { nodes: [], unreadable: [] },
    kept: [],
    keptProblem: undefined,
  });
  assert.deepEqual(documented(true).sort(), served(await metrics.text()).sort());
});

test('every metric of the agent is documented with its type and labels, and no other', async () => {
  const metrics = new Metrics(
    '1.2.3',
    {
      ranges: () => [{ range: 'blue', blocks: 1, used: 1, cooling: 1, kept: 0, free: 1 }],
      pending: () => 0,
    },
    () => performance.now(),
  );
  metrics.beginCall('ADD')(false);
  metrics.dataplane.state = () => ({
    ...{ servicesKnown: true, services: 1, frontends: 1, endpoints: 1, refused: 0 },
    bridges: [{ bridge: 'br-cell', flows: 1, inPlace: true }],
  });
  metrics.masquerade.inPlace = () => true;
  const hook = metrics.stepTimer();
  hook('ADD', 'allocate', 'before');
  hook('ADD', 'allocate', 'after');
  const text = await metrics.text();
  assert.deepEqual(documented(false).sort(), served(text).sort());
});
