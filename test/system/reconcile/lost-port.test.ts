import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { tryLock } from '../../../cni/host/lock.ts';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import type { AddedPod, Pod, SimulatedNode } from '../../support/node.ts';
import { must, run, until } from '../../support/proc.ts';
import { httpGet, sample } from '../../support/prometheus.ts';
import { BLUE, remains, startCluster, succeeded, type Cluster } from '../plugin/world.ts';
import { addPods, findingsOf, nodeReconcile, ranWith, reaches } from './world.ts';

const OVSDB_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

suite('ports that Open vSwitch lost under living pods', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let pods: AddedPod[];
  let agent: RunningAgent | undefined;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    pods = await addPods(node, 3);
  });
  afterEach(async () => {
    await agent?.stop();
    agent = undefined;
  });
  after(() => cluster.scope.close());

  /** What makes a port the one that its ADD made. */
  const portOf = (pod: Pod): Promise<string> =>
    node.ovs.vsctl('get', 'Port', hostLinkName(pod), 'tag', 'trunks', 'external_ids');
  const hasPort = async (pod: Pod): Promise<boolean> =>
    (await node.ovs.vsctl('list-ports', 'br-cell')).split('\n').includes(hostLinkName(pod));
  const allBack = async (before: readonly string[]): Promise<void> => {
    await until('the ports', async () => (await Promise.all(pods.map(hasPort))).every(Boolean), 20_000);
    assert.deepEqual(await Promise.all(pods.map(portOf)), before);
    for (const pod of pods) await reaches(pod);
  };
  const ports = (): Promise<string[]> => Promise.all(pods.map(portOf));
  /** The interval of its reconcile is a minute: what comes sooner, the agent was told of. */
  const startIdleAgent = async (): Promise<RunningAgent> => {
    const started = await startAgent(node);
    await until('the first reconcile', async () => {
      const { body } = await httpGet({ socketPath: started.metricsSocket }, '/metrics');
      return (sample(body, 'cellnet_reconciles_total', { outcome: 'done' }) ?? 0) > 0;
    });
    return started;
  };
  const makeBridge = async (): Promise<void> => {
    const settings = ['datapath_type=netdev', 'fail_mode=standalone'];
    await node.ovs.vsctl('add-br', 'br-cell', '--', 'set', 'bridge', 'br-cell', ...settings);
    await node.ovs.vsctl('add-port', 'br-cell', 'uplink0');
  };

  test('the agent makes a removed port again within seconds, tells and counts it', async () => {
    const [pod] = pods as [AddedPod];
    const before = await ports();
    agent = await startIdleAgent();
    await node.ovs.vsctl('del-port', hostLinkName(pod));
    await allBack(before);
    const [line] = agent.logged('made the port of a running pod again');
    assert.deepEqual(
      [line?.['level'], line?.['reason'], line?.['pod'], line?.['containerId'], line?.['bridge']],
      ['warn', 'no-port', 'default/p0', pod.containerId, 'br-cell'],
    );
    const { body } = await httpGet({ socketPath: agent.metricsSocket }, '/metrics');
    assert.equal(sample(body, 'cellnet_leaks_found_total', { reason: 'no-port' }), 1);
    assert.equal(sample(body, 'cellnet_leaks', { reason: 'no-port' }), 0);
  });

  test('a port with another VLAN, other marks, or on another bridge is put right', async () => {
    const before = await ports();
    const [tagged, marked, moved] = pods.map(hostLinkName) as [string, string, string];
    await node.ovs.vsctl('add-br', 'br-other', '--', 'set', 'bridge', 'br-other', 'datapath_type=netdev');
    agent = await startIdleAgent();
    const uuid = (await node.ovs.vsctl('get', 'Port', moved, '_uuid')).trim();
    await node.ovs.vsctl(
      ...['remove', 'Bridge', 'br-cell', 'ports', uuid, '--'],
      ...['add', 'Bridge', 'br-other', 'ports', uuid],
    );
    // Open vSwitch reports no change of a port that moves, so the agent finds it beside the others.
    await node.ovs.vsctl('set', 'Port', tagged, 'tag=999');
    await node.ovs.vsctl('set', 'Port', marked, 'external_ids:ip=10.20.0.99');
    await allBack(before);
    const reasons = agent.logged('made the port of a running pod again').map(({ reason }) => String(reason));
    assert.deepEqual(reasons.sort(), ['port-changed', 'port-changed', 'port-moved']);
    await node.ovs.vsctl('del-br', 'br-other');
  });

  test('a bridge that was removed is told once, and has all its ports when it is made again', async () => {
    const before = await ports();
    agent = await startIdleAgent();
    await node.ovs.vsctl('del-br', 'br-cell');
    const told = (): string[] =>
      (agent?.logged('not everything could be reconciled: tried again') ?? []).map(({ reasons }) =>
        String(reasons),
      );
    await until('the agent to tell it', () =>
      told().some((text) => text.includes("'br-cell' does not exist")),
    );
    const ran = await nodeReconcile(node, '-o', 'json');
    ranWith(ran, 2);
    assert.match(ran.stderr, /bridge 'br-cell' does not exist .*: pods have no port until it is made/);
    await makeBridge();
    await allBack(before);
    assert.equal(told().length, 1);
    await until('the end of it', () => agent?.logged('everything can be reconciled again').length === 1);
  });

  test('an Open vSwitch that starts with an empty database has all ports again', async () => {
    const before = await ports();
    agent = await startIdleAgent();
    await node.ovs.killDatabase();
    const file = join(dirname(node.ovs.socket), 'conf.db');
    rmSync(file);
    await must('ovsdb-tool', ['create', file, OVSDB_SCHEMA]);
    await node.ovs.startDatabase();
    await node.ovs.vsctl('--no-wait', 'init');
    await makeBridge();
    await allBack(before);
  });

  test('bursts of ADDs and DELs cause no repair; those by the agent cause no reconcile either', async () => {
    agent = await startIdleAgent();
    const burst = await Promise.all([0, 1, 2, 3].map((n) => node.makePod(`b${n}`)));
    const addAndDelete = async (env: Readonly<Record<string, string>>): Promise<void> => {
      await Promise.all(burst.map(async (pod) => succeeded(await node.call('ADD', pod, { env }))));
      await Promise.all(burst.map(async (pod) => succeeded(await node.call('DEL', pod, { env }))));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    };
    await addAndDelete(agent.env);
    const { body } = await httpGet({ socketPath: agent.metricsSocket }, '/metrics');
    assert.equal(sample(body, 'cellnet_reconciles_total', { outcome: 'done' }), 1);
    await addAndDelete({});
    assert.deepEqual(agent.logged('made the port of a running pod again'), []);
  });

  suite('cnictl without an agent', () => {
    test('a dry run and doctor tell it and change nothing; node reconcile repairs, but nothing that a call works on', async () => {
      const [pod] = pods as [AddedPod];
      const before = await ports();
      await node.ovs.vsctl('del-port', hostLinkName(pod));
      const without = await remains(node);
      const dry = await nodeReconcile(node, '--dry-run', '-o', 'json');
      ranWith(dry, 1);
      assert.deepEqual(
        findingsOf(dry).map(({ containerId, reason, outcome }) => [containerId, reason, outcome]),
        [[pod.containerId, 'no-port', 'found']],
      );
      const doctor = await run(`${OUR_PLUGINS}/cnictl`, ['doctor', '-o', 'json'], {
        env: node.env,
        netns: node.ns.name,
      });
      const { findings } = JSON.parse(doctor.stdout) as { findings: { check: string; detail: string }[] };
      assert.deepEqual(
        findings.filter(({ check }) => check === 'ports').map(({ detail }) => detail),
        ['1 running pod without a port in Open vSwitch: default/p0'],
      );
      assert.deepEqual(await remains(node), without);

      const unlock = tryLock(node.stateDir, pod);
      assert.ok(unlock);
      ranWith(await nodeReconcile(node), 0);
      assert.deepEqual(await remains(node), without);
      unlock();

      const done = await nodeReconcile(node);
      ranWith(done, 0);
      assert.match(done.stdout, /no-port +default\/p0 .*port made again/);
      assert.match(done.stdout, /0 left over, 0 addresses released, 1 port made again\n$/);
      await allBack(before);
    });

    for (const when of ['after a reconcile that saw the port', 'before any reconcile'] as const) {
      test(`a record of an earlier version, ${when}: the port is the same again`, async () => {
        const before = await ports();
        for (const { containerId, ifname } of pods) {
          const file = join(node.stateDir, 'attachments', `${containerId},${ifname}.json`);
          const { port: _, ...earlier } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
          writeFileSync(file, JSON.stringify(earlier));
        }
        if (when === 'after a reconcile that saw the port') ranWith(await nodeReconcile(node), 0);
        for (const pod of pods) await node.ovs.vsctl('del-port', hostLinkName(pod));
        ranWith(await nodeReconcile(node), 0);
        await allBack(before);
      });
    }
  });
});
