import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { tryLock } from '../../../cni/host/lock.ts';
import { linkAlias } from '../../../cni/protocol/identity.ts';
import type { RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS, STOCK_PLUGINS } from '../../support/cni.ts';
import { makeFaultyPlugin } from '../../support/faulty.ts';
import type { AddedPod, Pod, SimulatedNode } from '../../support/node.ts';
import { must, startDaemon, until } from '../../support/proc.ts';
import { httpGet, sample } from '../../support/prometheus.ts';
import { BLUE, given, podLinks, remains, startCluster, succeeded, type Cluster } from '../plugin/world.ts';
import {
  addPods,
  findingsOf,
  nodeReconcile,
  nothingElse,
  onlyLeft,
  ranWith,
  reaches,
  sequences,
  startReconciling,
  vanish,
} from './world.ts';

suite('pods that vanish without a DEL', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent | undefined;
  let faulty: string;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    faulty = await makeFaultyPlugin(await cluster.scope.tempDir());
  });
  afterEach(async () => {
    await agent?.stop();
    agent = undefined;
  });
  after(() => cluster.scope.close());

  /** Runs an ADD that is killed after `step`, as by a runtime that reaches its timeout. */
  const killedAdd = async (pod: Pod, step: string): Promise<void> => {
    const env = { FAULT_STEP: `ADD/${step}`, FAULT_WHEN: 'after', FAULT_KIND: 'kill' };
    assert.notEqual((await node.call('ADD', pod, { plugin: faulty, env })).code, 0);
  };

  test('the agent frees them after two observations, counts and tells them; the living are not touched', async () => {
    const [dead, living] = (await addPods(node, 2)) as [AddedPod, AddedPod];
    await must('ip', ['-n', node.ns.name, 'link', 'add', 'cell0', 'type', 'veth', 'peer', 'name', 'cell1']);
    agent = await startReconciling(node);
    const before = (await sequences(cluster)).get(living.ip);
    await vanish(node, dead);
    await onlyLeft(cluster, living);
    await until('the node to be clean', async () => !(await remains(node)).join().includes(dead.containerId));
    await must('ip', ['-n', node.ns.name, 'link', 'del', 'cell0']);
    await nothingElse(node, living);
    assert.equal((await sequences(cluster)).get(living.ip), before);
    await reaches(living);
    const [line] = agent.logged('released what had leaked');
    assert.deepEqual(
      [line?.['reason'], line?.['pod'], line?.['containerId'], line?.['ips']],
      ['namespace-gone', 'default/p0', dead.containerId, [dead.ip]],
    );
    const socket = agent.metricsSocket;
    const text = await until('the metrics', async () => {
      const { body } = await httpGet({ socketPath: socket }, '/metrics');
      return sample(body, 'cellnet_leaks_freed_total', { reason: 'namespace-gone' }) === 1 && body;
    });
    assert.equal(sample(text, 'cellnet_leaks_found_total', { reason: 'namespace-gone' }), 1);
    assert.equal(sample(text, 'cellnet_swept_total', { kind: 'port' }), 1);
    assert.equal(sample(text, 'cellnet_leaks', { reason: 'namespace-gone' }), 0);
    assert.ok((sample(text, 'cellnet_reconcile_last_timestamp_seconds') ?? 0) > 1_000_000_000);
    await node.delPod(living);
  });

  test('cnictl node reconcile: looks twice; a dry run changes nothing; then clean, and nothing found', async () => {
    const [dead, living] = (await addPods(node, 2)) as [AddedPod, AddedPod];
    await vanish(node, dead);
    const before = await remains(node);
    const dry = await nodeReconcile(node, '--dry-run', '--grace', '200ms', '-o', 'json');
    ranWith(dry, 1);
    assert.match(dry.stderr, /1 suspect: looking again in 200ms/);
    assert.deepEqual(
      findingsOf(dry).map(({ containerId, ips, reason, outcome }) => [containerId, ips, reason, outcome]),
      [[dead.containerId, [dead.ip], 'namespace-gone', 'found']],
    );
    assert.deepEqual(await remains(node), before);
    assert.equal((await given(cluster.fabric)).size, 2);

    const done = await nodeReconcile(node, '--grace', '200ms');
    ranWith(done, 0);
    assert.match(done.stdout, /namespace-gone +default\/p0 .*cleared \(port, record removed\)/);
    assert.match(done.stderr, new RegExp(`released what had leaked containerId=${dead.containerId}`));
    await onlyLeft(cluster, living);
    await nothingElse(node, living);
    const again = await nodeReconcile(node, '--grace', '200ms');
    ranWith(again, 0);
    assert.match(again.stdout, /^node node-1: nothing is left over\n$/);
    await node.delPod(living);
  });

  test('etcd away: exit status 2, and the reason', async () => {
    await cluster.fabric.etcd.kill();
    const ran = await nodeReconcile(node, '--grace', '0');
    await cluster.fabric.etcd.restart();
    ranWith(ran, 2);
    assert.match(ran.stderr, /allocations of node 'node-1': etcd .* (unreachable|did not answer)/);
  });

  for (const step of ['allocate', 'record', 'create-link', 'attach-port'] as const) {
    test(`an ADD that was killed after '${step}': not touched while its namespace lives, but for what no pod uses`, async () => {
      const pod = await node.makePod('p');
      await killedAdd(pod, step);
      const held = await given(cluster.fabric);
      const ran = await nodeReconcile(node, '--grace', '100ms');
      ranWith(ran, 0);
      assert.deepEqual(await given(cluster.fabric), held);
      // The same ADD, repeated, completes.
      succeeded(await node.call('ADD', pod));
      await reaches(pod);
      succeeded(await node.call('DEL', pod));
      assert.deepEqual(await remains(node), []);
    });
  }

  test('one whose call is under way is left to it', async () => {
    const [pod] = (await addPods(node, 1)) as [AddedPod];
    await vanish(node, pod);
    const unlock = tryLock(node.stateDir, pod);
    assert.ok(unlock);
    const busy = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
    ranWith(busy, 1);
    assert.deepEqual(
      findingsOf(busy).map(({ outcome }) => outcome),
      ['busy'],
    );
    assert.equal((await given(cluster.fabric)).size, 1);
    unlock();
    ranWith(await nodeReconcile(node, '--grace', '100ms'), 0);
    await onlyLeft(cluster);
    await nothingElse(node);
  });

  test('a pod whose link somebody deleted is told, one whose address somebody freed has it back; both are left as they are', async () => {
    const [cut, robbed] = (await addPods(node, 2)) as [AddedPod, AddedPod];
    const link = cut.result.interfaces?.[0]?.name ?? '';
    await must('ip', ['-n', node.ns.name, 'link', 'del', link]);
    const freed = await cluster.fabric.cnictl('release', robbed.ip, '--force', '--yes');
    assert.equal(freed.code, 0, freed.stderr);
    const before = await remains(node);
    const ran = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
    ranWith(ran, 1);
    const told = findingsOf(ran).map(({ containerId, reason, outcome }) => [containerId, reason, outcome]);
    assert.deepEqual(told, [[cut.containerId, 'no-link', 'kept']]);
    assert.equal((await given(cluster.fabric)).get(robbed.ip), robbed.containerId);
    assert.deepEqual(await remains(node), before);
    assert.deepEqual(await podLinks(robbed), ['eth0']);
    await reaches(robbed);
    for (const pod of [cut, robbed]) succeeded(await node.call('DEL', pod));
    await onlyLeft(cluster);
  });

  test('a link that an ADD never finished, without an address: swept; ports and links with others’ marks stay', async () => {
    const pod = await node.makePod('p');
    await killedAdd(pod, 'create-link');
    // The ADD creates the link while its write to etcd is under way, so the killed ADD may or may
    // not hold an address.
    const [ip] = (await given(cluster.fabric)).keys();
    if (ip !== undefined)
      assert.equal((await cluster.fabric.cnictl('release', ip, '--force', '--yes')).code, 0);
    const foreign = { containerId: 'somebody', ifname: 'eth0' };
    await must('ip', [
      '-n',
      node.ns.name,
      'link',
      'add',
      'theirs0',
      'type',
      'veth',
      'peer',
      'name',
      'theirs1',
    ]);
    await must('ip', ['-n', node.ns.name, 'link', 'set', 'theirs0', 'alias', linkAlias(foreign)]);
    const ran = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
    ranWith(ran, 0);
    assert.deepEqual(
      findingsOf(ran).map(({ reason, outcome, swept }) => [reason, outcome, swept]),
      [['link-without-allocation', 'cleared', ['link', 'record']]],
    );
    assert.deepEqual(await podLinks(pod), []);
    assert.deepEqual((await remains(node)).sort(), ['link theirs0', 'link theirs1']);
    await must('ip', ['-n', node.ns.name, 'link', 'del', 'theirs0']);
  });

  suite('addresses that another main plugin uses', () => {
    const bridged = (): Record<string, unknown> => ({
      ...node.networkConfig({ cniVersion: '1.0.0' }),
      type: 'bridge',
      bridge: 'stock0',
      ovsdb: undefined,
    });
    const plugin = `${STOCK_PLUGINS}/bridge`;

    test('stay while a process lives in the namespace, though its path is gone; then they are freed', async (t) => {
      const pod = await node.makePod('b');
      succeeded(await node.call('ADD', pod, { config: bridged(), plugin }));
      const [ip] = (await given(cluster.fabric)).keys();
      const inside = await startDaemon('sleep', ['600'], () => true, { netns: pod.ns.name });
      // `ip netns exec` enters the namespace before it starts the program.
      await until(
        'the process to be inside',
        async () => (await must('ip', ['netns', 'pids', pod.ns.name])).trim() !== '',
      );
      // The open descriptor keeps the kernel from reusing the namespace's inode number for
      // namespaces of other tests.
      const open = await openFile(pod.ns.path);
      t.after(() => open.close());
      await vanish(node, pod);
      const lives = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
      ranWith(lives, 0);
      assert.deepEqual(findingsOf(lives), []);
      assert.deepEqual([...(await given(cluster.fabric)).keys()], [ip]);
      await inside.stop();
      const gone = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
      ranWith(gone, 0);
      assert.deepEqual(
        findingsOf(gone).map(({ reason, outcome }) => [reason, outcome]),
        [['namespace-gone', 'cleared']],
      );
      await onlyLeft(cluster);
      await must('ip', ['-n', node.ns.name, 'link', 'del', 'stock0']);
    });

    test('of which nothing is known, are in use', async () => {
      const pod = await node.makePod('b');
      const config = { ...bridged(), bridge: 'stock1' };
      const call = { config, plugin: `${OUR_PLUGINS}/cellnet-ipam` };
      succeeded(await node.call('ADD', pod, call));
      await must('rm', ['-r', join(node.stateDir, 'attachments')]);
      await vanish(node, pod);
      const ran = await nodeReconcile(node, '--grace', '100ms', '-o', 'json');
      ranWith(ran, 0);
      assert.deepEqual(
        findingsOf(ran).map(({ reason, outcome }) => [reason, outcome]),
        [['unproven', 'kept']],
      );
      assert.equal((await given(cluster.fabric)).size, 1);
      succeeded(await node.call('DEL', pod, call));
      await onlyLeft(cluster);
    });
  });

  suite('an earlier sandbox of the same pod', () => {
    const uid = randomUUID();

    for (const by of ['the plugin by itself', 'the agent'] as const) {
      test(`is freed at the next ADD by ${by}, if it is gone; one that lives is not`, async () => {
        // This agent never reconciles, so only the ADD frees addresses.
        agent = await startReconciling(node, { env: { CELLNET_RECONCILE_INTERVAL_MS: '0' } });
        const env = by === 'the agent' ? agent.env : {};
        const addNext = async (options: { ifname?: string } = {}): Promise<AddedPod> => {
          const pod = await node.makePod('crash', { uid, ...options });
          const { result, ...outcome } = await node.call('ADD', pod, { env });
          assert.equal(outcome.code, 0, outcome.stdout);
          const ip = (result?.ips?.[0]?.address ?? '').split('/')[0] ?? '';
          return { ...pod, result: result ?? {}, ip, mac: '', ms: 0 };
        };
        const living = await addNext();
        const second = await addNext({ ifname: 'net1' });
        let last = await addNext();
        for (let i = 0; i < 5; i++) {
          await vanish(node, last);
          last = await addNext();
        }
        assert.deepEqual(
          [...(await given(cluster.fabric)).keys()].sort(),
          [living.ip, second.ip, last.ip].sort(),
        );
        await nothingElse(node, living, second, last);
        for (const pod of [living, last]) await reaches(pod);
        for (const pod of [living, second, last]) await node.delPod(pod);
      });
    }
  });
});
