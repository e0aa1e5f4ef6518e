import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metrics } from '../../../cni/agent/metrics.ts';
import type { Forecast } from '../../../ipam/records/usage-record.ts';
import { CheckMetrics } from '../../../cnictl/check/metrics.ts';

const IS_OF_CHECK = /^cellnet_(check|rule)_/;

const room = { capacity: 2, taken: 1, fullAt: { day: 1_000, week: 2_000 } };
const rooms = { addresses: room, blocks: room };
const FORECAST: Forecast = {
  at: 1_000,
  ranges: new Map([['blue', rooms]]),
  families: new Map([[4, rooms]]),
  rules: new Map([['shop', rooms]]),
};

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
    .filter(([, name = '']) => IS_OF_CHECK.test(name) === ofCheck)
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
  metrics.usage.told(FORECAST);
  const all = served(await metrics.text()).sort();
  const isOwn = ([name = '']: (string | undefined)[]): boolean => IS_OF_CHECK.test(name);
  assert.deepEqual(documented(true).sort(), all.filter(isOwn));
  const agents = documented(false).map((each) => each.join(' '));
  for (const each of all.filter((one) => !isOwn(one)))
    assert.ok(agents.includes(each.join(' ')), each.join(' '));
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
  metrics.usage.told(FORECAST);
  const text = await metrics.text();
  assert.deepEqual(documented(false).sort(), served(text).sort());
});
