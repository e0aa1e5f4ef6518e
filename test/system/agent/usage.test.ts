/** What agents tell of the whole cluster, from the samples that they take together. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { until } from '../../support/proc.ts';
import { httpGet, sample, seriesOf } from '../../support/prometheus.ts';
import { BLUE, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

const SAMPLES = '/cellnet/v1/usage/hours/';

suite('agents sample the usage', () => {
  let cluster: Cluster;
  const agents: RunningAgent[] = [];
  before(async () => {
    cluster = await startCluster(2, BLUE);
    // Before there is an agent, which may sample after five seconds.
    for (const node of cluster.nodes) succeeded(await node.call('ADD', await node.makePod('p')));
    for (const node of cluster.nodes) agents.push(await startAgent(node));
  });
  after(async () => {
    for (const agent of agents) await agent.stop();
    await cluster.scope.close();
  });

  test('within a minute one of two has written the hour, and both tell it of the range that they use', async () => {
    const scrape = async ({ metricsSocket }: RunningAgent): Promise<string> =>
      (await httpGet({ socketPath: metricsSocket }, '/metrics')).body;
    const texts = await until(
      'both agents to tell of the sample',
      async () => {
        await hostEffects.pause(1_000);
        const all = await Promise.all(agents.map(scrape));
        const isTold = (text: string): boolean =>
          (sample(text, 'cellnet_usage_sampled_timestamp_seconds') ?? 0) > 0;
        return all.every(isTold) && all;
      },
      90_000,
    );
    const listed = await cluster.fabric.etcd.ctl('get', '--prefix', '--keys-only', SAMPLES);
    const hours = listed.trim().split(/\s+/);
    // The test may run over the end of an hour.
    assert.ok(hours.length >= 1 && hours.length <= 2, listed);
    for (const text of texts) {
      const of = (name: string, what: string): number | undefined =>
        sample(text, name, { range: 'blue', of: what });
      assert.equal(of('cellnet_range_taken', 'addresses'), 2);
      assert.equal(of('cellnet_range_taken', 'blocks'), 2);
      assert.ok((of('cellnet_range_capacity', 'blocks') ?? 0) >= 2);
      assert.deepEqual(seriesOf(text, 'cellnet_range_full_timestamp_seconds'), [], 'it is too early');
      assert.equal(sample(text, 'cellnet_usage_failures_total'), 0);
    }
  });
});
