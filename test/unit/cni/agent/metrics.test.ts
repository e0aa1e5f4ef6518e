import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Metrics } from '../../../../cni/agent/metrics.ts';
import type { Scraped } from '../../../../cni/agent/scraped.ts';
import { sample, seriesOf } from '../../../support/prometheus.ts';

const NOTHING: Scraped = { ranges: () => [], pending: () => 0 };
const make = (scraped: Partial<Scraped> = {}): Metrics =>
  new Metrics('1.2.3', { ...NOTHING, ...scraped }, () => performance.now());

suite('the metrics of the agent', () => {
  test('names are ours or the conventional ones of a process; each has a help text and a base unit', async () => {
    const metrics = make();
    const text = await metrics.text();
    assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
    const helped = new Map([...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name, help]) => [name, help]));
    for (const [, name = '', type = ''] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      assert.match(name, /^(cellnet|process|nodejs)_/);
      assert.ok(helped.get(name), name);
      if (!name.startsWith('cellnet_')) continue;
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      // A `_last_` metric in seconds is a gauge: it describes the last reconcile. So is a time.
      const isTime = name.includes('_last_') || name.endsWith('_timestamp_seconds');
      const unit = name.endsWith('_seconds') && !isTime;
      assert.equal(unit, type === 'histogram', name);
    }
  });

  test('calls are counted by verb and outcome, and while they are under way', async () => {
    const metrics = make();
    const [done, failed] = [metrics.beginCall('ADD'), metrics.beginCall('ADD')];
    assert.equal(sample(await metrics.text(), 'cellnet_calls_under_way'), 2);
    done(false);
    failed(true);
    metrics.beginCall('NO-SUCH-VERB; DROP')(true);
    const text = await metrics.text();
    const count = (verb: string, outcome: string): number | undefined =>
      sample(text, 'cellnet_call_duration_seconds_count', { verb, outcome });
    assert.deepEqual([count('ADD', 'done'), count('ADD', 'failed'), count('unknown', 'failed')], [1, 1, 1]);
    assert.equal(sample(text, 'cellnet_calls_under_way'), 0);
  });

  test('steps of calls side by side are told apart; one that failed has no duration', async (t) => {
    const metrics = make();
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const [a, b] = [metrics.stepTimer(), metrics.stepTimer()];
    a('ADD', 'allocate', 'before');
    now = 1_000;
    b('ADD', 'allocate', 'before');
    now = 1_100;
    b('ADD', 'allocate', 'after');
    now = 3_000;
    a('ADD', 'allocate', 'after');
    a('ADD', 'record', 'before');
    const text = await metrics.text();
    const labels = { verb: 'ADD', step: 'allocate' };
    assert.equal(sample(text, 'cellnet_step_duration_seconds_count', labels), 2);
    assert.equal(sample(text, 'cellnet_step_duration_seconds_sum', labels), 3.1);
    assert.equal(sample(text, 'cellnet_step_duration_seconds_bucket', { ...labels, le: '0.1' }), 1);
    assert.equal(
      sample(text, 'cellnet_step_duration_seconds_count', { verb: 'ADD', step: 'record' }),
      undefined,
    );
  });

  test('errors stand at 0 from the start; a code that nobody knows makes no series of its own', async () => {
    const metrics = make();
    const errors = async (name: string): Promise<Record<string, number>> =>
      Object.fromEntries(
        seriesOf(await metrics.text(), name).map(
          ({ labels, value }) => [labels['code'] ?? '', value] as const,
        ),
      );
    assert.deepEqual(await errors('cellnet_etcd_errors_total'), {
      'store-unreachable': 0,
      'store-denied': 0,
      'store-failed': 0,
    });
    metrics.countEtcdError('store-unreachable');
    metrics.countOvsdbError('timeout');
    for (let i = 0; i < 10; i++) metrics.countOvsdbError(`constraint violation ${i}`);
    assert.equal((await errors('cellnet_etcd_errors_total'))['store-unreachable'], 1);
    const ovsdb = await errors('cellnet_ovsdb_errors_total');
    assert.deepEqual([ovsdb['timeout'], ovsdb['refused'], Object.keys(ovsdb).length], [1, 10, 11]);
  });

  test('what is looked up at a scrape: ranges that are gone have no series; what cannot be counted is NaN', async () => {
    let ranges = [{ range: 'blue', blocks: 2, used: 20, cooling: 3, kept: 0, free: 8 }];
    let pending = (): number => 4;
    const metrics = make({ ranges: () => ranges, pending: () => pending() });
    const text = await metrics.text();
    const addresses = (state: string): number | undefined =>
      sample(text, 'cellnet_addresses', { range: 'blue', state });
    assert.deepEqual([addresses('used'), addresses('cooling'), addresses('free')], [20, 3, 8]);
    assert.equal(sample(text, 'cellnet_blocks_held', { range: 'blue' }), 2);
    assert.equal(sample(text, 'cellnet_pending_releases'), 4);
    ranges = [];
    pending = () => {
      throw new Error('no access');
    };
    const later = await metrics.text();
    assert.deepEqual(seriesOf(later, 'cellnet_addresses'), []);
    assert.equal(sample(later, 'cellnet_pending_releases'), NaN);
  });

  test('build and version', async () => {
    const labels = { version: '1.2.3', node_version: process.version };
    assert.equal(sample(await make().text(), 'cellnet_build_info', labels), 1);
  });
});
