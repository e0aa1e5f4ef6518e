/** `range set` under pods of a real node, whose agent caches blocks and ranges. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { parseAddress, parseSpan, spanContains } from '../../../ipam/model/address.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { CniOutcome } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { given, readBlocks, remains, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

const RED = '10.20.0.0/22 --gateway 10.20.0.1 --vlan 120 --name red --cooldown 0'.split(' ');

suite('a range that changes under pods of a node', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  before(async () => {
    cluster = await startCluster(1, RED);
    [node] = cluster.nodes as [SimulatedNode];
    agent = await startAgent(node);
  });
  after(async () => {
    await agent.stop();
    await cluster.scope.close();
  });

  const set = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cluster.fabric.cnictl('range', 'set', 'red', ...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const by = {
    agent: (verb: 'ADD' | 'DEL' | 'CHECK', pod: Pod, config?: object): Promise<CniOutcome> =>
      node.call(verb, pod, { env: agent.env, ...(config && { config }) }),
    plugin: (verb: 'ADD' | 'DEL' | 'CHECK', pod: Pod, config?: object): Promise<CniOutcome> =>
      node.call(verb, pod, config ? { config } : {}),
  };
  const routesOf = ({ result }: CniOutcome): string[] =>
    (result?.routes ?? []).map(({ dst, gw }) => `${dst} ${gw ?? ''}`).sort();
  const ipOf = ({ result }: CniOutcome): string => (result?.ips?.[0]?.address ?? '').split('/')[0] ?? '';
  const linkOf = async (pod: Pod): Promise<string> =>
    /^\d+/.exec(await pod.ns.exec('ip', '-o', 'link', 'show', 'eth0'))?.[0] ?? '';
  const check = async (how: 'agent' | 'plugin', pod: Pod, previous: CniOutcome): Promise<void> =>
    succeeded(await by[how]('CHECK', pod, node.networkConfig({ prevResult: previous.result })));

  test('while a range was never changed, a repeated ADD gives a pod its lost routes again', async () => {
    const pod = await node.makePod('bare');
    succeeded(await by.agent('ADD', pod));
    await pod.ns.exec('ip', 'route', 'del', 'default');
    const again = await by.agent('ADD', pod);
    succeeded(again);
    assert.match(await pod.ns.exec('ip', 'route'), /default via 10\.20\.0\.1/);
    succeeded(await by.agent('DEL', pod));
  });

  for (const how of ['agent', 'plugin'] as const) {
    test(`living pods keep gateway and routes, others get the new ones, by the ${how}`, async () => {
      const [old, next] = [await node.makePod('old'), await node.makePod('next')];
      const added = await by[how]('ADD', old);
      succeeded(added);
      assert.deepEqual(routesOf(added), ['0.0.0.0/0 10.20.0.1']);
      const link = await linkOf(old);
      const told = await set('--gateway', '10.20.0.254', '--route', '10.96.0.0/12 via 10.20.0.253');
      assert.match(told, new RegExp(`1 pod on ${node.nodeName} \\(1\\) keeps its gateway and routes`));

      await check(how, old, added);
      // The runtime repeats the ADD, for example because it did not get the answer.
      const again = await by[how]('ADD', old);
      succeeded(again);
      assert.deepEqual([routesOf(again), again.result?.ips], [routesOf(added), added.result?.ips]);
      assert.equal(await linkOf(old), link, 'the interface is the same');
      await check(how, old, again);
      await old.ns.pings('10.20.0.1');

      const made = await by[how]('ADD', next);
      succeeded(made);
      assert.deepEqual(routesOf(made), ['0.0.0.0/0 10.20.0.254', '10.96.0.0/12 10.20.0.253']);
      assert.match(await next.ns.exec('ip', 'route'), /default via 10\.20\.0\.254/);
      await next.ns.pings(ipOf(added));
      await check(how, next, made);

      // The other way round, with a route that goes.
      await set(
        '--gateway',
        '10.20.0.1',
        '--remove-route',
        '10.96.0.0/12',
        '--include',
        '10.20.0.253-10.20.0.254',
      );
      for (const [pod, result] of [
        [old, added],
        [next, made],
      ] as const) {
        await check(how, pod, result);
        const same = await by[how]('ADD', pod);
        succeeded(same);
        assert.deepEqual(routesOf(same), routesOf(result));
        succeeded(await by[how]('DEL', pod));
      }
      assert.equal((await given(cluster.fabric)).size, 0);
      assert.deepEqual(await remains(node), []);
    });
  }

  test('an agent that restarts between change and repeated ADD does the same', async () => {
    const pod = await node.makePod('kept');
    const added = await by.agent('ADD', pod);
    succeeded(added);
    await set('--gateway', '10.20.0.254');
    await agent.stop();
    agent = await startAgent(node);
    const again = await by.agent('ADD', pod);
    succeeded(again);
    assert.deepEqual(routesOf(again), routesOf(added));
    await pod.ns.pings('10.20.0.1');
    await set('--gateway', '10.20.0.1');
    succeeded(await by.agent('DEL', pod));
  });

  test('no ADD gets an address that was excluded before it began, whichever way it came', async () => {
    await set('--include', '10.20.0.2-10.20.3.254');
    let excluded = '';
    let took = 0;
    for (let round = 0; round < 4; round++) {
      const pods = await Promise.all(Array.from({ length: 6 }, (_, i) => node.makePod(`r${i}`)));
      const adding = Promise.all(pods.map((pod, i) => by[i % 3 === 0 ? 'plugin' : 'agent']('ADD', pod)));
      const blocks = await readBlocks(cluster.fabric);
      // What the node would give next: the lowest free addresses of its blocks.
      const free = blocks.flatMap(({ cidr, slots }) =>
        slots.flatMap((slot, i) => (slot.state === 'free' ? [cidr.base.value + BigInt(i)] : [])),
      );
      const next = free.at(-1);
      if (next !== undefined) {
        const value = (n: bigint): string => [24n, 16n, 8n, 0n].map((by) => (n >> by) & 255n).join('.');
        excluded = `${value(next - 1n)}-${value(next)}`;
        const { code, stderr } = await cluster.fabric.cnictl('range', 'set', 'red', '--exclude', excluded);
        assert.ok(code === 0 || /has 10\.20\./.test(stderr), stderr);
        if (code === 0) took++;
        else excluded = '';
      }
      for (const outcome of await adding) succeeded(outcome);
      const later = await node.makePod('later');
      succeeded(await by.agent('ADD', later));
      const span = excluded === '' ? undefined : parseSpan(excluded);
      const inside = [...(await given(cluster.fabric)).keys()].filter(
        (ip) => span && spanContains(span, parseAddress(ip)),
      );
      assert.deepEqual(inside, []);
      for (const pod of [...pods, later]) succeeded(await by.agent('DEL', pod));
    }
    assert.ok(took > 0, 'one exclusion at least took place');
    await readBlocks(cluster.fabric);
    assert.deepEqual(await remains(node), []);
  });
});
