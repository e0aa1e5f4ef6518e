import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import type { RunningAgent } from '../../support/agent.ts';
import { newContainerId, type AddedPod, type SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { BLUE, given, remains, startCluster, stateFiles, succeeded, type Cluster } from '../plugin/world.ts';
import {
  addPods,
  anotherBoot,
  loseRecord,
  nothingElse,
  onlyLeft,
  reaches,
  sequences,
  startReconciling,
  vanish,
} from './world.ts';

suite('a node back from a power cut', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent | undefined;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  afterEach(async () => {
    await agent?.stop();
    agent = undefined;
  });
  after(() => cluster.scope.close());

  test('is clean within 10 s of the start of the agent: addresses, ports, records, teardowns put off; what is not ours stays', async () => {
    const pods = await addPods(node, 20);
    await node.ovs.vsctl('add-port', 'br-cell', 'nodevice0', '--', 'add-port', 'br-cell', 'nodevice1');
    await node.ovs.vsctl('set', 'port', 'nodevice1', 'external_ids:owner=somebody');
    const [first, second, third] = pods as [AddedPod, AddedPod, AddedPod];
    // A DEL that does not reach etcd defers its release.
    await cluster.fabric.etcd.kill();
    succeeded(await node.call('DEL', third));
    await cluster.fabric.etcd.restart();
    loseRecord(node, first);
    loseRecord(node, second);
    await vanish(node, ...pods);
    assert.equal((await given(cluster.fabric)).size, 20);

    agent = await startReconciling(node, {
      bootId: anotherBoot(),
      // After a reboot the agent must not wait for the grace period.
      env: { CELLNET_RECONCILE_GRACE_MS: '600000', CELLNET_RECONCILE_INTERVAL_MS: '600000' },
    });
    const started = performance.now();
    await until('a clean node', async () => {
      const ours = (await remains(node)).filter((each) => !each.includes('nodevice'));
      return ours.length === 0 && (await given(cluster.fabric)).size === 0;
    });
    const seconds = (performance.now() - started) / 1000;
    console.log(`# clean ${seconds.toFixed(2)} s after the agent was ready`);
    assert.ok(seconds < 10);
    const ports = (await remains(node)).filter((each) => each.startsWith('port '));
    assert.deepEqual(ports, ['port nodevice0', 'port nodevice1']);
    await node.ovs.vsctl('del-port', 'nodevice0', '--', 'del-port', 'nodevice1');
    const released = agent.logged('released what had leaked');
    assert.equal(released.length, 19);
    const line = released.find(({ containerId }) => containerId === first.containerId);
    assert.deepEqual(line?.['ips'], [first.ip]);
    assert.equal(line['reason'], 'node-rebooted');
    assert.equal(line['pod'], 'default/p0');
    assert.deepEqual(stateFiles(node), []);
  });

  test('a container that was started again under its ID keeps what it has', async () => {
    const containerId = newContainerId();
    const pod = await node.addPod('again', { containerId });
    const gone = await node.addPod('gone');
    await vanish(node, pod, gone);
    // The new boot's ADD comes before the agent reconciles. The agent then finds the earlier boot's
    // address in use.
    const bootId = anotherBoot();
    const off = { CELLNET_RECONCILE_INTERVAL_MS: '0' };
    const idle = await startReconciling(node, { bootId, env: off });
    const again = await node.makePod('again', { containerId, uid: pod.uid });
    const added = await node.call('ADD', again, { env: idle.env });
    succeeded(added);
    assert.equal(added.result?.ips?.[0]?.address, `${pod.ip}/22`);
    const before = await sequences(cluster);
    await idle.stop();

    agent = await startReconciling(node, { bootId });
    const living: AddedPod = { ...pod, ns: again.ns, result: added.result };
    await onlyLeft(cluster, living);
    await nothingElse(node, living);
    assert.equal((await sequences(cluster)).get(pod.ip), before.get(pod.ip));
    await reaches(again);
    succeeded(await node.call('DEL', again));
  });

  test('its address was released and given to another pod meanwhile: that one keeps it', async () => {
    const [dead] = (await addPods(node, 1)) as [AddedPod];
    await vanish(node, dead);
    const freed = await cluster.fabric.cnictl('release', dead.ip, '--force', '--yes');
    assert.equal(freed.code, 0, freed.stderr);
    const other = await node.addPod('other', { config: { args: { cni: { ips: [dead.ip] } } } });
    assert.equal(other.ip, dead.ip);
    const before = (await sequences(cluster)).get(dead.ip);
    agent = await startReconciling(node);
    await until('the dead pod’s record and port to be swept', () =>
      agent?.logged('swept what was left').some(({ containerId }) => containerId === dead.containerId),
    );
    await onlyLeft(cluster, other);
    await nothingElse(node, other);
    assert.equal((await sequences(cluster)).get(dead.ip), before);
    await reaches(other);
    // A late DEL does not free the other pod's address either.
    succeeded(await node.call('DEL', dead));
    await onlyLeft(cluster, other);
    await node.delPod(other);
  });

  test('the agent is killed in the middle of it: the next one goes on', async () => {
    const pods = await addPods(node, 30);
    await vanish(node, ...pods);
    const bootId = anotherBoot();
    const killed = await startReconciling(node, { bootId });
    await until('the first release', () => killed.daemon.output().includes('released what had leaked'));
    await killed.kill();
    const left = (await given(cluster.fabric)).size;
    console.log(`# killed with ${left} of 30 addresses still given out`);
    agent = await startReconciling(node, { bootId });
    await onlyLeft(cluster);
    await nothingElse(node);
    await killed.stop();
  });

  test('etcd is away at the start: ports wait for nobody, addresses are released when it is back', async () => {
    const pods = await addPods(node, 3);
    const [, , living] = pods as [AddedPod, AddedPod, AddedPod];
    await vanish(node, ...pods.slice(0, 2));
    await cluster.fabric.etcd.kill();
    agent = await startReconciling(node);
    await until(
      'the failure to be told',
      () => agent?.logged('not everything could be reconciled: tried again').length,
    );
    await cluster.fabric.etcd.restart();
    await onlyLeft(cluster, living);
    await nothingElse(node, living);
    await until(
      'the end of the trouble to be told',
      () => agent?.logged('everything can be reconciled again').length,
    );
    await reaches(living);
    await node.delPod(living);
  });

  test('Open vSwitch is away: no address is free before its port is gone', async () => {
    const [dead] = (await addPods(node, 1)) as [AddedPod];
    await vanish(node, dead);
    await node.ovs.killDatabase();
    agent = await startReconciling(node, { bootId: anotherBoot() });
    await until(
      'the failure to be told',
      () => agent?.logged('what is left cannot be cleared away now').length,
    );
    assert.deepEqual([...(await given(cluster.fabric)).keys()], [dead.ip]);
    await node.ovs.startDatabase();
    await onlyLeft(cluster);
    await nothingElse(node);
  });

  test('another boot than this, but later: two machines of one name; nothing is freed', async () => {
    const [pod] = (await addPods(node, 1)) as [AddedPod];
    await vanish(node, pod);
    // This boot began long before IPAM allocated the address.
    agent = await startReconciling(node, { bootId: anotherBoot(), bootedSecondsAgo: 86_400 });
    await until('it to be told', () =>
      agent?.logged('an interface is not as it should be').some(({ reason }) => reason === 'other-boot'),
    );
    await onlyLeft(cluster, pod);
    await agent.stop();
    agent = undefined;
    succeeded(await node.call('DEL', pod));
  });
});
