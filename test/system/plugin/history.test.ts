import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { CniOutcome } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { BLUE, failed, startCluster, stateFiles, succeeded, type Cluster } from './world.ts';

interface Told {
  readonly state: string;
  readonly node: string | null;
  readonly containerId: string | null;
  readonly past: readonly {
    readonly containerId: string;
    readonly node: string;
    readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string } | null;
    readonly why: string;
    readonly by: string | null;
    readonly allocatedAt: string;
    readonly releasedAt: string;
  }[];
}

suite('history of what the plugin does', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    agent = cluster.scope.use(await startAgent(node));
  });
  after(() => cluster.scope.close());

  const told = async (ip: string): Promise<Told> => {
    const { code, stdout, stderr } = await cluster.fabric.cnictl('ip', 'history', ip, '-o', 'json');
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Told;
  };
  /** Returns the address of an ADD that succeeded. */
  const ipOf = (outcome: CniOutcome): string => {
    succeeded(outcome);
    return outcome.result?.ips?.[0]?.address.split('/')[0] ?? assert.fail(outcome.stdout);
  };
  /** Returns the cause of each release of the pod's addresses. */
  const whysOf = async ({ containerId, name }: Pod): Promise<string[]> => {
    const { code, stdout, stderr } = await cluster.fabric.cnictl(
      'pod',
      'show',
      `default/${name}`,
      '-o',
      'json',
    );
    assert.equal(code, 0, stderr);
    const { past } = JSON.parse(stdout) as Told;
    return past.filter((each) => each.containerId === containerId).map(({ why }) => why);
  };

  for (const [how, env] of [
    ['by itself', (): object => ({})],
    ['by the agent', (): object => agent.env],
  ] as const) {
    test(`ADD and DEL ${how}: who has it, then who had it, with the pod and the times`, async () => {
      const pod = await node.makePod('web-1');
      const started = Date.now();
      const ip = ipOf(await node.call('ADD', pod, { env: { ...env() } }));
      const now = await told(ip);
      assert.deepEqual([now.state, now.containerId, now.node], ['used', pod.containerId, node.name]);
      const before = now.past.length;
      succeeded(await node.call('DEL', pod, { env: { ...env() } }));
      const after = await told(ip);
      assert.deepEqual([after.containerId, after.past.length], [null, before + 1]);
      const [newest] = after.past;
      assert.ok(newest);
      assert.deepEqual(
        [newest.containerId, newest.node, newest.why, newest.by],
        [pod.containerId, node.name, 'del', null],
      );
      assert.deepEqual(newest.pod, { namespace: 'default', name: 'web-1', uid: pod.uid });
      assert.ok(Date.parse(newest.allocatedAt) >= started);
      assert.ok(Date.parse(newest.releasedAt) >= Date.parse(newest.allocatedAt));
      // The repeated DEL adds no history entry.
      succeeded(await node.call('DEL', pod, { env: { ...env() } }));
      assert.equal((await told(ip)).past.length, before + 1);
    });
  }

  test('an ADD that fails after it had the address', async () => {
    const pod = await node.makePod('fails');
    await pod.ns.exec('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other0');
    failed(await node.call('ADD', pod), 102, /eth0/);
    assert.deepEqual(await whysOf(pod), ['undo']);
  });

  test('GC', async () => {
    const pod = await node.addPod('collected');
    const config = node.networkConfig({ 'cni.dev/valid-attachments': [] });
    succeeded(await node.call('GC', pod, { config }));
    assert.deepEqual(await whysOf(pod), ['gc']);
  });

  test('a DEL that could not reach etcd, when it is carried out', async () => {
    const pod = await node.addPod('late');
    cluster.fabric.etcd.pause();
    const outcome = await node.call('DEL', pod);
    cluster.fabric.etcd.resume();
    succeeded(outcome);
    await until('what was put off is done', async () => {
      succeeded(await node.call('DEL', await node.makePod('any')));
      return stateFiles(node).every((file) => !file.startsWith('pending/'));
    });
    assert.deepEqual(await whysOf(pod), ['put-off']);
  });

  test('an operator that frees an address is named', async () => {
    const pod = await node.addPod('freed');
    const { code, stderr } = await cluster.fabric.cnictl('release', pod.ip, '--force', '--yes');
    assert.equal(code, 0, stderr);
    const [newest] = (await told(pod.ip)).past;
    assert.deepEqual([newest?.containerId, newest?.why], [pod.containerId, 'operator']);
    assert.match(newest?.by ?? '', /./);
    await node.delPod(pod);
    assert.equal((await told(pod.ip)).past[0]?.why, 'operator', 'the DEL found nothing to release');
  });
});
