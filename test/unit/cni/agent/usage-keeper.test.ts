import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Registry } from 'prom-client';
import { UsageKeeper } from '../../../../cni/agent/usage-keeper.ts';
import { UsageMetrics } from '../../../../cni/agent/usage-metrics.ts';
import type { Effects } from '../../../../ipam/model/effects.ts';
import { addRange } from '../../../../ipam/ranges/ranges.ts';
import { SAMPLES, type Forecast } from '../../../../ipam/records/usage-record.ts';
import { sample, seriesOf } from '../../../support/prometheus.ts';
import { range, World } from '../../ipam/world.ts';

const HOUR = 3_600_000;

/** Agents of one etcd, on a clock that jumps from timer to timer. */
class Agents {
  readonly world = new World(7);
  readonly requests: string[] = [];
  readonly logged: string[] = [];
  failures = 0;
  readonly told: (Forecast | undefined)[] = [];
  readonly #timers = new Map<object, { at: number; work: () => void }>();

  readonly effects: Effects = {
    ...this.world.effects,
    schedule: (ms, work) => {
      const timer = { cancel: () => void this.#timers.delete(timer) };
      this.#timers.set(timer, { at: this.world.now + ms, work });
      return timer;
    },
  };

  async start(count: number): Promise<UsageKeeper[]> {
    await addRange(this.world.ipam, range('10.20.0.0/24', { name: 'blue' }));
    this.world.store.before = (request) => Promise.resolve(void this.requests.push(request));
    const say = (message: string): void => void this.logged.push(message);
    const keepers = Array.from(
      { length: count },
      () =>
        new UsageKeeper({
          store: this.world.store,
          effects: this.effects,
          log: { info: say, warn: say, error: say },
          told: (forecast) => void this.told.push(forecast),
          failed: () => this.failures++,
        }),
    );
    for (const keeper of keepers) keeper.start();
    return keepers;
  }

  get waiting(): number {
    return this.#timers.size;
  }

  async run(ms: number): Promise<void> {
    const end = this.world.now + ms;
    for (;;) {
      const [next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at);
      if (!next || next[1].at > end) break;
      this.#timers.delete(next[0]);
      this.world.now = next[1].at;
      next[1].work();
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
    this.world.now = end;
  }

  samples(): number {
    return [...this.world.store.entries.keys()].filter((key) => key.startsWith(SAMPLES)).length;
  }
}

suite('agents sample the usage', () => {
  test('20 agents, two days: one sample an hour, and one read an hour for each', async () => {
    const agents = new Agents();
    await agents.start(20);
    await agents.run(48 * HOUR - 1);
    assert.equal(agents.samples(), 48);
    const count = (request: string): number => agents.requests.filter((each) => each === request).length;
    assert.equal(count('commit'), 48);
    assert.ok(count('get') >= 20 * 47 && count('get') <= 20 * 49, `${count('get')} reads`);
    // Ranges, blocks, samples and rules, by the one who takes the sample.
    assert.equal(count('scan'), 4 * 48);
    assert.equal(agents.told.filter((each) => each?.ranges.has('blue')).length, agents.told.length);
    assert.equal(agents.failures, 0);
  });

  test('an etcd that fails: counted, told once, tried again within minutes; told when it is over', async () => {
    const agents = new Agents();
    await agents.start(1);
    const { before } = agents.world.store;
    agents.world.store.before = () => Promise.reject(new Error('etcd is away'));
    await agents.run(HOUR / 2);
    assert.ok(agents.failures >= 3 && agents.failures <= 7, `${agents.failures}`);
    assert.deepEqual(agents.logged, ['the usage cannot be sampled: tried again']);
    agents.world.store.before = before;
    await agents.run(HOUR / 4);
    assert.equal(agents.samples(), 1);
    assert.deepEqual(agents.logged.slice(1), ['the usage can be sampled again']);
  });

  test('a keeper that is stopped leaves no timer', async () => {
    const agents = new Agents();
    const [first, second] = await agents.start(2);
    await agents.run(2 * HOUR);
    first?.start();
    first?.stop();
    second?.stop();
    assert.equal(agents.waiting, 0);
    const before = agents.requests.length;
    await agents.run(5 * HOUR);
    assert.equal(agents.requests.length, before);
  });
});

suite('metrics of the usage', () => {
  const room = (taken: number, day?: number) => ({
    ...{ capacity: 100, taken },
    fullAt: day === undefined ? {} : { day, week: day * 2 },
  });
  const rooms = { addresses: room(40, 5_000), blocks: room(90) };
  const forecast: Forecast = {
    at: 3_000,
    ranges: new Map([
      ['blue', rooms],
      ['red', rooms],
    ]),
    families: new Map([[4, rooms]]),
    rules: new Map([['web', rooms]]),
  };

  test('of the ranges that the node holds; no time where it lasts; rules by a process that is alone', async () => {
    const [agent, check] = [new Registry(), new Registry()];
    const ofAgent = new UsageMetrics([agent], () => (name) => name === 'blue', false);
    const ofCheck = new UsageMetrics([check], () => () => true, true);
    assert.equal(sample(await agent.metrics(), 'cellnet_usage_sampled_timestamp_seconds'), 0);
    assert.deepEqual(seriesOf(await agent.metrics(), 'cellnet_range_capacity'), []);
    ofAgent.told(forecast);
    ofCheck.told(forecast);
    ofAgent.failed();
    const text = await agent.metrics();
    const labels = { range: 'blue', of: 'addresses' };
    assert.equal(sample(text, 'cellnet_range_capacity', labels), 100);
    assert.equal(sample(text, 'cellnet_range_taken', { range: 'blue', of: 'blocks' }), 90);
    const name = 'cellnet_range_full_timestamp_seconds';
    assert.equal(sample(text, name, { ...labels, pace: 'day' }), 5);
    assert.equal(sample(text, name, { ...labels, pace: 'week' }), 10);
    assert.equal(seriesOf(text, name).length, 2);
    assert.equal(sample(text, 'cellnet_family_taken', { family: 'ipv4', of: 'blocks' }), 90);
    assert.equal(sample(text, 'cellnet_usage_sampled_timestamp_seconds'), 3);
    assert.equal(sample(text, 'cellnet_usage_failures_total'), 1);
    assert.doesNotMatch(text, /red|web/);
    const all = await check.metrics();
    assert.equal(seriesOf(all, 'cellnet_range_taken').length, 4);
    assert.equal(sample(all, 'cellnet_rule_taken', { rule: 'web', of: 'addresses' }), 40);
    ofAgent.told(undefined);
    assert.deepEqual(seriesOf(await agent.metrics(), name), []);
  });
});
