/**
 * Two machines have one node name: a cloned image, then a replaced machine. The second one must not
 * touch what the first one has, whatever it finds on its own disk, until an operator gives it the
 * name.
 */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { decodeAliveRecord } from '../../../ipam/records/alive-record.ts';
import { decodeMachineRecord } from '../../../ipam/records/machine-record.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import {
  newContainerId,
  startNode,
  type AddedPod,
  type Pod,
  type SimulatedNode,
} from '../../support/node.ts';
import { run, until } from '../../support/proc.ts';
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
import { anotherBoot, findingsOf, nodeReconcile, QUICK, reaches, sequences, vanish } from './world.ts';

/** Two machines with one node name. */
interface Pair {
  readonly name: string;
  readonly first: SimulatedNode;
  readonly second: SimulatedNode;
  agent: RunningAgent;
  rival: RunningAgent;
  pods: AddedPod[];
}

const PAIRS = [
  { name: 'node-a', what: 'a machine of its own disk', isCopy: false },
  { name: 'node-b', what: 'a machine with a copy of the disk', isCopy: true },
] as const;
const REFUSED = (name: string): RegExp =>
  new RegExp(`node name '${name}' belongs to machine ${name}-old .*; this is machine ${name}-new `);

/** Adds a pod through the agent. */
const addBy = async (agent: RunningAgent, node: SimulatedNode, name: string): Promise<AddedPod> => {
  const pod = await node.makePod(name);
  const outcome = await node.call('ADD', pod, { env: agent.env });
  succeeded(outcome);
  const ip = (outcome.result?.ips?.[0]?.address ?? '').split('/')[0] ?? '';
  return { ...pod, result: outcome.result ?? {}, ip, mac: '', ms: outcome.ms };
};

suite('two machines with one node name', () => {
  let cluster: Cluster;
  const pairs = new Map<string, Pair>();
  const of = (name: string): Pair => {
    const pair = pairs.get(name);
    assert.ok(pair, `the test before, of ${name}, has failed`);
    return pair;
  };
  const read = async (key: string): Promise<string | undefined> =>
    (await cluster.fabric.etcd.ctl('get', `/cellnet/v1/${key}`, '--print-value-only')).trim() || undefined;
  const aliveOn = async (name: string): Promise<string | undefined> => {
    const value = await read(`alive/${name}`);
    return value && decodeAliveRecord('alive', value).machine;
  };
  const ownerOf = async (name: string): Promise<string | undefined> => {
    const value = await read(`machines/${name}`);
    return value && decodeMachineRecord('machines', value).machine?.id;
  };
  /** Asserts that the first machine's pods have their addresses, their ports and the network. */
  const unharmed = async ({ first, pods }: Pair): Promise<void> => {
    const held = await given(cluster.fabric);
    for (const { ip, containerId } of pods) assert.equal(held.get(ip), containerId);
    const there = await remains(first);
    for (const { result } of pods)
      assert.ok(there.includes(`port ${result.interfaces?.[0]?.name ?? ''}`), there.join());
    await Promise.all(pods.map(reaches));
  };

  before(async () => {
    cluster = await startCluster(0, BLUE);
  });
  after(() => cluster.scope.close());

  for (const { name, what, isCopy } of PAIRS)
    test(`${what}: its calls fail with both names and the way out, and nothing of the first is touched`, async () => {
      const { scope, fabric } = cluster;
      const [first, second] = await Promise.all(
        ['old', 'new'].map(async (each) =>
          scope.use(
            await startNode(fabric, `${name}-${each}`, { nodeName: name, machineId: `${name}-${each}` }),
          ),
        ),
      );
      assert.ok(first && second, 'both machines');
      const agent = scope.use(await startAgent(first, undefined, [], { env: QUICK }));
      const pods: AddedPod[] = [];
      for (let i = 0; i < 8; i++) pods.push(await addBy(agent, first, `p${i}`));
      if (isCopy) cpSync(first.stateDir, second.stateDir, { recursive: true });
      const before = await sequences(cluster);

      const rival = scope.use(await startAgent(second, undefined, [], { env: QUICK, bootId: anotherBoot() }));
      const pair: Pair = { name, first, second, agent, rival, pods };
      pairs.set(name, pair);
      await until('the second agent to tell it', () =>
        rival.daemon
          .output()
          .split('\n')
          .some((line) => line.includes('"level":"error"') && REFUSED(name).test(line)),
      );
      const refusedPods: Pod[] = [];
      for (let i = 0; i < 4; i++) {
        const pod = await second.makePod(`q${i}`);
        refusedPods.push(pod);
        const outcome = await second.call('ADD', pod, i % 2 === 0 ? { env: rival.env } : {});
        failed(outcome, 109, REFUSED(name));
        assert.match(
          outcome.result?.details ?? '',
          new RegExp(`cnictl node adopt ${name} --machine ${name}-new`),
        );
      }
      for (const pod of refusedPods) succeeded(await second.call('DEL', pod));
      assert.deepEqual(
        (await remains(second)).filter((each) => !each.startsWith('file ')),
        [],
      );
      assert.deepEqual(
        stateFiles(second).filter((file) => file.startsWith('pending/')),
        [],
        'an ADD that was refused leaves nothing to release',
      );
      failed(await second.call('STATUS', refusedPods[0] as Pod), 50, REFUSED(name));
      const dry = await nodeReconcile(second, '--dry-run', '--grace', '0', '-o', 'json');
      assert.equal(dry.code, 2, dry.stdout);
      assert.deepEqual(findingsOf(dry), []);

      await unharmed(pair);
      assert.deepEqual(await sequences(cluster), before, 'nothing of the first was released or given again');
      assert.equal(await ownerOf(name), `${name}-old`);
      assert.equal(await aliveOn(name), `${name}-old`);
    });

  for (const { name, isCopy } of PAIRS)
    test(`${name}: DEL and GC of the first machine's pods on the second free nothing`, async () => {
      const pair = of(name);
      for (const { ns, containerId, ifname, uid, name: podName } of pair.pods.slice(0, 4))
        succeeded(await pair.second.call('DEL', { ns, containerId, ifname, uid, name: podName }));
      const deferred = stateFiles(pair.second).filter((file) => file.startsWith('pending/'));
      assert.equal(deferred.length, isCopy ? 4 : 0, 'without a trace of a pod there is nothing to release');
      // The ADD of a container with a deferred teardown is told the reason, too.
      failed(await pair.second.call('ADD', pair.pods[0] as Pod), 109, REFUSED(name));
      const config = pair.second.networkConfig({ 'cni.dev/valid-attachments': [] });
      failed(await pair.second.call('GC', pair.pods[4] as Pod, { config }), 5, REFUSED(name));
      await unharmed(pair);
    });

  for (const { name } of PAIRS)
    test(`${name}: the second agent tells it once, and the first goes on working`, async () => {
      const { first, agent, rival, pods } = of(name);
      const lines = rival.daemon.output().split('\n');
      const count = (part: string): number => lines.filter((line) => line.includes(part)).length;
      assert.equal(count('"served"'), 2);
      assert.equal(lines.filter((line) => line.includes('"level":"error"')).length, 1);
      assert.equal(count('not everything could be reconciled'), 1, rival.daemon.output());
      assert.ok(count('"reconciled"') <= 1, 'a line for each news');
      assert.equal(count('stays put off'), 0);
      pods.push(await addBy(agent, first, 'more'));
      const [gone] = pods.splice(0, 1);
      assert.ok(gone, 'the pod to end');
      await first.delPod(gone, { env: agent.env });
      assert.equal((await given(cluster.fabric)).has(gone.ip), false);
      await unharmed(of(name));
    });

  test('the name is not given away while the first machine lives', async () => {
    for (const { name } of PAIRS) {
      const ran = await cluster.fabric.cnictl('node', 'adopt', name, '--machine', `${name}-new`, '--dry-run');
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(
        ran.stdout,
        new RegExp(`agent alive since .*\\n[^]*would not be given to machine ${name}-new`),
      );
    }
  });

  test('when the first dies, the second gets the name once nothing has happened for a minute', async () => {
    const startedAt = performance.now();
    const adoptions = PAIRS.map(async ({ name }) => {
      const { first, agent, pods } = of(name);
      await agent.kill();
      await vanish(first, ...pods);
      // The key would outlive the agent by a minute.
      const fields = await cluster.fabric.etcd.ctl('get', `/cellnet/v1/alive/${name}`, '-w', 'fields');
      const [, lease = '0'] = /^"Lease" : (\d+)$/m.exec(fields) ?? [];
      await cluster.fabric.etcd.ctl('lease', 'revoke', BigInt(lease).toString(16));
      const { env, ns } = cluster.fabric;
      const argv = ['node', 'adopt', name, '--machine', `${name}-new`, '--yes'];
      return await run(`${OUR_PLUGINS}/cnictl`, argv, { env, netns: ns.name, timeoutMs: 150_000 });
    });
    for (const { code, stdout, stderr } of await Promise.all(adoptions))
      assert.equal(code, 0, `${stdout}${stderr}`);
    assert.ok(performance.now() - startedAt > 60_000, 'a minute of silence');
  });

  for (const { name, isCopy } of PAIRS)
    test(`${name}: the second works, and frees what the dead one had`, async () => {
      const { second, rival, pods } = of(name);
      const added = await addBy(rival, second, 'first');
      assert.equal(await ownerOf(name), `${name}-new`);
      await until('the alive key of the second', async () => (await aliveOn(name)) === `${name}-new`, 40_000);
      await until('the addresses of the dead machine to be free', async () => {
        const held = await given(cluster.fabric);
        return pods.every(({ ip, containerId }) => held.get(ip) !== containerId);
      });
      assert.equal((await given(cluster.fabric)).get(added.ip), added.containerId);
      const waited = rival.logged('reconciled').some(({ waiting }) => Number(waiting) >= 8);
      if (!isCopy) assert.ok(waited, 'without a trace on the disk, two looks');
      await second.delPod(added, { env: rival.env });
    });

  for (const { name } of PAIRS)
    test(`${name}: the first is refused when it comes back`, async () => {
      const { first, second, rival } = of(name);
      const pod = await addBy(rival, second, 'kept');
      const back = cluster.scope.use(
        await startAgent(first, undefined, [], { env: QUICK, bootId: anotherBoot() }),
      );
      const stranger = await first.makePod('stranger', { containerId: newContainerId() });
      failed(
        await first.call('ADD', stranger, { env: back.env }),
        109,
        new RegExp(`'${name}' belongs to machine ${name}-new .*this is machine ${name}-old`),
      );
      succeeded(await first.call('DEL', stranger));
      await until('the first agent to tell it', () =>
        back.daemon.output().includes(`belongs to machine ${name}-new`),
      );
      assert.equal(await aliveOn(name), `${name}-new`);
      assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
      await reaches(pod);
      const shown = await cluster.fabric.cnictl('node', 'show', name);
      assert.match(shown.stdout, new RegExp(`Machine: +${name}-new`));
      await second.delPod(pod, { env: rival.env });
    });
});
