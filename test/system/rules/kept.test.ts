/**
 * A StatefulSet whose pods keep their addresses: deleted properly and by force, its node lost, cut
 * off and back, drained and removed.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS, podArgs } from '../../support/cni.ts';
import { node as nodeObject, pod as podObject } from '../../support/kube-api.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { startPodProcess, type PodProcess } from '../../support/pod-process.ts';
import { run, until, type RunResult } from '../../support/proc.ts';
import { nodeReconcile } from '../reconcile/world.ts';
import { makeServicesWorld, type ServicesWorld } from '../services/world.ts';

interface Made {
  readonly on: SimulatedNode;
  readonly pod: Pod;
  readonly ip: string;
  readonly mac: string;
}

suite('pods that keep their addresses', () => {
  let world: ServicesWorld;
  let a: SimulatedNode;
  let b: SimulatedNode;
  /** A client outside the cluster, on the pods' VLAN. */
  let outside: PodProcess;
  before(async () => {
    world = await makeServicesWorld();
    [a, b] = world.nodes;
    outside = startPodProcess(world.fabric.ns);
    await must('rule', 'add', 'db', '--namespace', 'shop', '--pod', 'db-*', '--keep', 'forever');
    // A pod that lives, so that the check believes the API server.
    await add(b, 'living');
  });
  after(async () => {
    await outside.stop();
    await world.stop();
  });

  const must = async (...args: string[]): Promise<RunResult> => {
    const done = await world.fabric.cnictl(...args);
    assert.equal(done.code, 0, done.stderr);
    return done;
  };
  /** Runs cnictl with the API server: where the physical switch is, or where nobody reaches it. */
  const check = (place: 'on the wire' | 'elsewhere'): Promise<RunResult> =>
    run(
      `${OUR_PLUGINS}/cnictl`,
      ['check', '--grace', '0', '--release', '--yes', '--wait', '0', '--kubeconfig', world.kubeconfig],
      {
        netns: world.fabric.ns.name,
        env: {
          ...world.fabric.env,
          ...(place === 'on the wire' && {
            CELLNET_OVSDB: world.fabric.ovs.remote,
            CELLNET_BRIDGE: 'phys',
          }),
        },
        timeoutMs: 60_000,
      },
    );
  const agentOf = (on: SimulatedNode): (typeof world.agents)[number] => {
    const agent = world.agents[world.nodes.indexOf(on)];
    assert.ok(agent);
    return agent;
  };
  const callOf = (pod: Pod, on: SimulatedNode, by: 'agent' | 'plugin') => ({
    args: podArgs('shop', pod.name, pod.uid, pod.containerId),
    config: on.networkConfig(),
    // The environment counts before the configuration, and that of the node says `false`.
    ...(by === 'agent' && { env: agentOf(on).env }),
  });
  /** The API server has the pod on the node, and its runtime adds it. */
  async function tryAdd(
    on: SimulatedNode,
    name: string,
    by: 'agent' | 'plugin' = 'agent',
  ): Promise<Made | string> {
    const made = await on.makePod(name);
    world.api.putPod(podObject({ namespace: 'shop', name, uid: made.uid, node: on.name, ips: [] }));
    const { code, stdout, result } = await on.call('ADD', made, callOf(made, on, by));
    if (code !== 0) {
      await made.ns.stop();
      return stdout;
    }
    const ip = result?.ips?.[0]?.address.split('/')[0] ?? '';
    const mac = result?.interfaces?.find(({ sandbox }) => sandbox)?.mac ?? '';
    world.api.putPod(podObject({ namespace: 'shop', name, uid: made.uid, node: on.name, ips: [ip] }));
    return { on, pod: made, ip, mac };
  }
  const add = async (...args: Parameters<typeof tryAdd>): Promise<Made> => {
    const made = await tryAdd(...args);
    assert.ok(typeof made === 'object', typeof made === 'string' ? made : '');
    return made;
  };
  const end = async ({ on, pod }: Made, by: 'agent' | 'plugin' = 'agent'): Promise<void> => {
    await on.delPod(pod, callOf(pod, on, by));
    world.api.deletePod('shop', pod.name);
  };
  const waits = async (on: SimulatedNode, name: string, text: RegExp): Promise<void> => {
    const told = await tryAdd(on, name);
    assert.ok(typeof told === 'string', 'it was added');
    assert.match(told, /"code":\s*11/);
    assert.match(told, text);
  };
  const stateOf = async (ip: string): Promise<string> =>
    (JSON.parse((await must('ip', 'show', ip, '-o', 'json')).stdout) as { state: string }).state;
  const serve = async (made: Made): Promise<PodProcess> => {
    const process = startPodProcess(made.pod.ns);
    await process.serve('tcp', made.ip, 5432, `${made.pod.name} on ${made.on.name}`);
    return process;
  };

  for (const by of ['agent', 'plugin'] as const) {
    test(`made again on another node: the same address and MAC, and a client comes through, by the ${by}`, async () => {
      const first = await add(a, 'db-0', by);
      const server = await serve(first);
      const before = await outside.ask('tcp', first.ip, 5432);
      assert.equal(before.name, `db-0 on ${a.name}`);
      await server.stop();
      await end(first, by);
      assert.equal(await stateOf(first.ip), 'kept');
      // Others come meanwhile.
      const others = [await add(a, 'web-1', by), await add(b, 'web-2', by)];
      const second = await add(b, 'db-0', by);
      const added = performance.now();
      assert.deepEqual([second.ip, second.mac], [first.ip, first.mac]);
      const next = await serve(second);
      // Nobody flushes the client's ARP cache: it has the address with this MAC.
      const name = await until('the client to come through', async () => {
        const { name: answered } = await outside.ask('tcp', first.ip, 5432, 500);
        return answered;
      });
      assert.equal(name, `db-0 on ${b.name}`);
      assert.ok(performance.now() - added < 2_000, `${performance.now() - added} ms after the ADD`);
      await next.stop();
      const back = await (async () => {
        await end(second, by);
        return await add(a, 'db-0', by);
      })();
      assert.deepEqual([back.ip, back.mac], [first.ip, first.mac]);
      for (const each of [...others, back]) await end(each, by);
      await must('release', first.ip, '--yes');
    });
  }

  test('deleted by force: the new one waits until the old one is ended, and then has its address', async () => {
    const old = await add(a, 'db-1');
    await waits(
      b,
      'db-1',
      new RegExp(`kept for pod shop/db-1.*container ${old.pod.containerId} on node '${a.nodeName}'`),
    );
    const ran = await check('elsewhere');
    assert.match(ran.stderr, /condemned/, ran.stdout + ran.stderr);
    await waits(b, 'db-1', /still has it/);
    await nodeReconcile(a);
    const next = await add(b, 'db-1');
    assert.deepEqual([next.ip, next.mac], [old.ip, old.mac]);
    // The kubelet of the old one calls its DEL at last: it ends nothing of the new one.
    await old.on.delPod(old.pod, callOf(old.pod, old.on, 'agent'));
    assert.equal(await stateOf(next.ip), 'used');
    assert.equal((await outside.ask('tcp', next.ip, 5432)).error, 'ECONNREFUSED');
    await end(next);
  });

  test('its node is cut off: it stays where it may live; once it is gone from the wire it moves', async () => {
    const old = await add(a, 'db-2');
    const server = await serve(old);
    await agentOf(a).stop();
    world.api.putNode(nodeObject({ name: a.name, ready: false }));
    // As at the end of its lease, for which the test does not wait.
    await world.fabric.etcd.ctl('del', `/cellnet/v1/alive/${a.nodeName}`);
    await waits(b, 'db-2', new RegExp(`container ${old.pod.containerId} on node '${a.nodeName}'`));
    const blind = await check('elsewhere');
    assert.match(blind.stderr, /nobody here can ask the wire/, blind.stdout + blind.stderr);
    const seen = await check('on the wire');
    assert.match(seen.stderr, /still answers for it on the wire/, seen.stdout + seen.stderr);
    await waits(b, 'db-2', /still has it/);
    assert.equal((await outside.ask('tcp', old.ip, 5432)).name, `db-2 on ${a.name}`);
    // The machine ends.
    await server.stop();
    await old.pod.ns.stop();
    const gone = await check('on the wire');
    assert.match(gone.stderr, new RegExp(`${old.ip} released`), gone.stdout + gone.stderr);
    const next = await add(b, 'db-2');
    assert.equal(next.ip, old.ip);
    await end(next);
  });

  test('the node is removed: what it kept goes to another one, and its pods find it', async () => {
    const { stdout } = await must('ip', 'list', '--node', a.nodeName, '-o', 'json');
    const kept = (JSON.parse(stdout) as { ip: string; state: string }[]).filter(
      ({ state }) => state === 'kept',
    );
    assert.ok(kept.length >= 2, stdout);
    world.api.deleteNode(a.name);
    const removed = await run(
      `${OUR_PLUGINS}/cnictl`,
      ['node', 'remove', a.nodeName, '--grace', '0', '--yes', '--kubeconfig', world.kubeconfig],
      { netns: world.fabric.ns.name, env: world.fabric.env, timeoutMs: 120_000 },
    );
    assert.equal(removed.code, 0, removed.stdout + removed.stderr);
    assert.match(removed.stdout, new RegExp(`handed over to node ${b.nodeName}`));
    for (const { ip } of kept) assert.equal(await stateOf(ip), 'kept');
    const next = await add(b, 'db-1');
    assert.ok(kept.some(({ ip }) => ip === next.ip));
    await end(next);
    const doctor = await world.fabric.cnictl('doctor', '-o', 'json');
    assert.doesNotMatch(doctor.stdout, /no-index|wrong-node/);
    const rule = await must('rule', 'show', 'db');
    assert.match(rule.stdout, /shop\/db-2 .* kept/);
  });

  test('the rule goes: what it kept is free', async () => {
    const { stdout } = await must('rule', 'remove', 'db');
    assert.match(stdout, /free again: 2 addresses kept for pods that are gone/);
    assert.doesNotMatch((await must('ip', 'list')).stdout, / kept /);
  });
});
