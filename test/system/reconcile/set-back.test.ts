/**
 * etcd is set back to a snapshot or emptied while pods live. Whatever etcd says then, no address
 * may get a second owner, and what lives is in etcd again.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { BLUE, addRange, given, startCluster, succeeded, type Cluster } from '../plugin/world.ts';
import { addPods, QUICK } from './world.ts';

/** Adds pods through the agent. */
const addBy = async (agent: RunningAgent, node: SimulatedNode, count: number): Promise<AddedPod[]> => {
  const pods: AddedPod[] = [];
  for (let i = 0; i < count; i++) {
    const pod = await node.makePod(`a${i}`);
    const { result, stdout } = await node.call('ADD', pod, { env: agent.env });
    assert.ok(result, stdout);
    const [ip = ''] = (result.ips?.[0]?.address ?? '').split('/');
    pods.push({ ...pod, result, ip, mac: result.interfaces?.[1]?.mac ?? '', ms: 0 });
  }
  return pods;
};

suite('etcd is set back', () => {
  let cluster: Cluster;
  let one: SimulatedNode;
  let two: SimulatedNode;
  let agent: RunningAgent | undefined;
  let living: AddedPod[] = [];

  before(async () => {
    cluster = await startCluster(2, BLUE);
    [one, two] = cluster.nodes as [SimulatedNode, SimulatedNode];
  });
  afterEach(async () => {
    for (const node of [one, two])
      for (const pod of living.filter(({ ns }) => ns.name.includes(node.name))) await node.call('DEL', pod);
    living = [];
    await agent?.stop();
    agent = undefined;
  });
  after(() => cluster.scope.close());

  /** Adds the pods to the living ones. No two have one address, and each can reach the gateway. */
  const alive = async (...pods: AddedPod[]): Promise<void> => {
    living.push(...pods);
    const ips = living.map(({ ip }) => ip);
    assert.equal(new Set(ips).size, ips.length, `an address stands twice: ${ips.join(', ')}`);
    for (const pod of pods) await pod.ns.pings('10.20.0.1');
  };
  const allInEtcd = (): Promise<unknown> =>
    until('etcd to hold every living pod', async () => {
      const held = await given(cluster.fabric);
      return living.every(({ ip, containerId }) => held.get(ip) === containerId);
    });

  test('pods of the agent, then pods of the plugin, then the agent again: the revision has counted up', async () => {
    agent = await startAgent(one, undefined, [], { env: { CELLNET_RECONCILE_INTERVAL_MS: '0' } });
    await alive(...(await addBy(agent, one, 1)));
    const snapshot = await cluster.fabric.etcd.snapshot();
    await alive(...(await addBy(agent, one, 3)));
    await cluster.fabric.etcd.restore(snapshot);
    await alive(...(await addPods(one, 3)));
    await alive(...(await addBy(agent, one, 3)));
    await allInEtcd();
  });

  test('SIGHUP after the restore, as the documentation says', async () => {
    agent = await startAgent(one, undefined, [], { env: { CELLNET_RECONCILE_INTERVAL_MS: '0' } });
    const snapshot = await cluster.fabric.etcd.snapshot();
    await alive(...(await addBy(agent, one, 5)));
    await cluster.fabric.etcd.restore(snapshot);
    agent.daemon.signal('SIGHUP');
    await until('the reload', () => agent?.logged('reloaded').length);
    await alive(...(await addBy(agent, one, 5)));
    await allInEtcd();
    assert.equal(
      agent.logged('etcd was set back: it is no later state of what this node has seen').length,
      1,
    );
  });

  test('the block of another node: what it has lost is probed before it is given out', async () => {
    await addRange(cluster.fabric, '10.40.0.0/28', '--vlan', '120', '--name', 'small', '--cooldown', '0');
    const small = { ipam: { ...(one.networkConfig()['ipam'] as object), ranges: ['small'] } };
    const snapshot = await cluster.fabric.etcd.snapshot();
    const pod = await one.addPod('first', { config: small });
    await cluster.fabric.etcd.restore(snapshot);
    // The other node has seen etcd before, and sees the set-back at its next call.
    const other = { ipam: { ...(two.networkConfig()['ipam'] as object), ranges: ['small'] } };
    const pods: AddedPod[] = [];
    for (let i = 0; pods.length < 3 && i < 8; i++)
      await two.addPod(`other${i}`, { config: other }).then(
        (added) => pods.push(added),
        () => undefined,
      );
    assert.equal(pods.length, 3);
    const ips = [pod, ...pods].map(({ ip }) => ip);
    assert.equal(new Set(ips).size, 4, ips.join(', '));
    for (const each of pods) succeeded(await two.call('DEL', each));
    succeeded(await one.call('DEL', pod));
    await cluster.fabric.cnictl('range', 'remove', 'small', '--yes');
  });

  test('emptied, and the range added again: no pod loses its address, no address gets a second owner', async () => {
    agent = await startAgent(one, undefined, [], { env: QUICK });
    await alive(...(await addBy(agent, one, 6)), ...(await addPods(two, 6)));
    await cluster.fabric.etcd.ctl('del', '--prefix', '/cellnet/');
    // The nodes may have told by now that they have lost it.
    await addRange(cluster.fabric, ...BLUE, '--recover');
    await alive(...(await addPods(two, 6)), ...(await addBy(agent, one, 6)));
    await allInEtcd();
  });
});
