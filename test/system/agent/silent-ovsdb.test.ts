import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { CniOutcome } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import {
  BLUE,
  failed,
  given,
  remains,
  startCluster,
  stateFiles,
  succeeded,
  type Cluster,
} from '../plugin/world.ts';

/** The deadline of a server, and the time that processes and links take beside it. */
const DEADLINE_MS = 5_000;
const SLACK_MS = 4_000;
/** The end of a DEL by a plugin that nobody answers. */
const DEL_ENDS_MS = 10_000;

/** How long one of the calls took at most, each a process that a loaded machine starts slowly. */
const longest = (outcomes: readonly CniOutcome[]): number => Math.max(...outcomes.map(({ ms }) => ms));

suite('an ovsdb-server that hangs', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    agent = await startAgent(node);
  });
  after(async () => {
    node.ovs.resumeDatabase();
    cluster.fabric.etcd.resume();
    await agent.stop();
    await cluster.scope.close();
  });
  const call = (verb: 'ADD' | 'DEL', pod: Pod, env: object = agent.env): Promise<CniOutcome> =>
    node.call(verb, pod, { env: { ...env }, timeoutMs: 120_000 });
  const pods = (count: number): Promise<Pod[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => node.makePod(`p${i}`)));
  /** Calls the plugin for all pods at once while the servers that `pause` stops do not answer. */
  const duringHang = async (
    t: TestContext,
    verb: 'ADD' | 'DEL',
    some: readonly Pod[],
    env?: object,
    servers: readonly ('ovsdb' | 'etcd')[] = ['ovsdb'],
  ): Promise<CniOutcome[]> => {
    if (servers.includes('ovsdb')) node.ovs.pauseDatabase();
    if (servers.includes('etcd')) cluster.fabric.etcd.pause();
    try {
      const outcomes = await Promise.all(some.map((pod) => call(verb, pod, env)));
      const times = outcomes.map(({ ms }) => Math.round(ms)).sort((a, b) => a - b);
      t.diagnostic(`${some.length} ${verb}: ${times[0] ?? 0} to ${times.at(-1) ?? 0} ms`);
      return outcomes;
    } finally {
      node.ovs.resumeDatabase();
      cluster.fabric.etcd.resume();
    }
  };
  /** Makes calls until one has finished what was deferred: each tries for a short time only. */
  const clean = async (): Promise<void> => {
    const any = await node.makePod('any');
    await until('nothing is deferred', async () => {
      if (stateFiles(node).length > 0) succeeded(await call('DEL', any));
      return stateFiles(node).length === 0;
    });
    assert.deepEqual(await remains(node), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  };

  for (const count of [5, 30]) {
    let usualMs = 0;
    const limitMs = (): number => DEADLINE_MS + SLACK_MS / 2 + 2 * usualMs;

    test(`${count} DELs at once: all are answered within one deadline, and nothing is left`, async (t) => {
      const some = await pods(count);
      const usual = await Promise.all(some.map((pod) => call('ADD', pod)));
      usual.forEach(succeeded);
      usualMs = longest(usual);
      const outcomes = await duringHang(t, 'DEL', some);
      outcomes.forEach(succeeded);
      assert.ok(longest(outcomes) < limitMs(), `${longest(outcomes)} ms: expected less than ${limitMs()}`);
      await clean();
    });

    test(`${count} ADDs at once: all are refused with code 11 within one deadline, and nothing is left`, async (t) => {
      const some = await pods(count);
      const outcomes = await duringHang(t, 'ADD', some);
      for (const outcome of outcomes) failed(outcome, 11, /Open vSwitch's database at .* did not answer/);
      assert.ok(longest(outcomes) < limitMs(), `${longest(outcomes)} ms: expected less than ${limitMs()}`);
      await clean();
    });
  }

  test('and an etcd that hangs too: DEL within 10 s, ADD within its deadline', async (t) => {
    for (const env of [agent.env, {}]) {
      const [gone, refused] = (await pods(2)) as [Pod, Pod];
      const usual = await call('ADD', gone, env);
      succeeded(usual);
      const [del] = await duringHang(t, 'DEL', [gone], env, ['ovsdb', 'etcd']);
      assert.ok(del);
      succeeded(del);
      assert.ok(del.ms < DEL_ENDS_MS + usual.ms, `${del.ms} ms`);
      const [add] = await duringHang(t, 'ADD', [refused], env, ['ovsdb', 'etcd']);
      assert.ok(add);
      failed(add, 11, /did not answer/);
      assert.ok(add.ms < DEADLINE_MS + SLACK_MS + usual.ms, `${add.ms} ms`);
      await clean();
    }
  });

  test('plugins without the agent: within one deadline too', async (t) => {
    const some = await pods(3);
    const usual = await Promise.all(some.map((pod) => call('ADD', pod, {})));
    usual.forEach(succeeded);
    const limitMs = DEADLINE_MS + SLACK_MS / 2 + 2 * longest(usual);
    const dels = await duringHang(t, 'DEL', some, {});
    dels.forEach(succeeded);
    assert.ok(longest(dels) < limitMs, `${longest(dels)} ms: expected less than ${limitMs}`);
    const adds = await duringHang(t, 'ADD', some, {});
    for (const outcome of adds) failed(outcome, 11, /did not answer/);
    assert.ok(longest(adds) < limitMs, `${longest(adds)} ms: expected less than ${limitMs}`);
    await clean();
  });
});
