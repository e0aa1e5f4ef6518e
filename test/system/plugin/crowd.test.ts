import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { sleep } from '../../support/proc.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import {
  addRange,
  BLUE,
  failed,
  given,
  GREEN,
  podLinks,
  readBlocks,
  remains,
  startCluster,
  succeeded,
  type Cluster,
} from './world.ts';

suite('many at once', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster(4, BLUE);
  });
  after(() => cluster.scope.close());

  const addAll = async (
    nodes: readonly SimulatedNode[],
    each: number,
  ): Promise<{ node: SimulatedNode; pod: Pod; ip: string }[]> => {
    const pods = await Promise.all(
      nodes.flatMap((node) =>
        Array.from({ length: each }, async (_, i) => ({ node, pod: await node.makePod(`crowd-${i}`) })),
      ),
    );
    return await Promise.all(
      pods.map(async ({ node, pod }) => {
        const outcome = await node.call('ADD', pod);
        succeeded(outcome);
        return { node, pod, ip: outcome.result?.ips?.[0]?.address ?? '' };
      }),
    );
  };
  const deleteAll = async (pods: readonly { node: SimulatedNode; pod: Pod }[]): Promise<void> => {
    for (const outcome of await Promise.all(pods.map(({ node, pod }) => node.call('DEL', pod))))
      succeeded(outcome);
  };

  test('20 on one node get distinct addresses, from no more blocks than they need', async () => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const pods = await addAll([node], 20);
    assert.equal(new Set(pods.map(({ ip }) => ip)).size, 20);
    const blocks = await readBlocks(cluster.fabric);
    assert.equal(blocks.length, 2);
    assert.equal((await given(cluster.fabric)).size, 20);
    await pods[0]?.pod.ns.pings('10.20.0.1');
    await pods[19]?.pod.ns.pings('10.20.0.1');
    await deleteAll(pods);
    assert.deepEqual(await remains(node), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  });

  test('4 nodes that claim at once get distinct addresses from blocks of their own', async () => {
    const pods = await addAll(cluster.nodes, 5);
    assert.equal(new Set(pods.map(({ ip }) => ip)).size, 20);
    const blocks = await readBlocks(cluster.fabric);
    assert.deepEqual(new Set(blocks.map((block) => block.node)).size, 4);
    const byContainer = await given(cluster.fabric);
    for (const { pod, ip } of pods) assert.equal(byContainer.get(ip.split('/')[0] ?? ''), pod.containerId);
    await deleteAll(pods);
    for (const node of cluster.nodes) assert.deepEqual(await remains(node), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  });
});

suite('a full range', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster(1, [
      '10.20.0.0/28',
      '--gateway',
      '10.20.0.1',
      '--vlan',
      '120',
      '--name',
      'blue',
      '--cooldown',
      '2s',
    ]);
  });
  after(() => cluster.scope.close());

  test('is refused with code 11 and its name, leaves nothing, and works again with another range; addresses rest', async () => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const pods = [];
    for (let i = 0; i < 13; i++) pods.push(await node.addPod(`p${i}`));
    const before = [await remains(node), await given(cluster.fabric)];
    const late = await node.makePod('late');
    failed(
      await node.call('ADD', late),
      11,
      /no IPv4 address left for node 'node-1': blue 10\.20\.0\.0\/28 \(full/,
    );
    assert.deepEqual(await podLinks(late), []);
    assert.deepEqual([await remains(node), await given(cluster.fabric)], before);
    failed(await node.call('STATUS', late), 50, /no free IPv4 address/);

    const [first] = pods;
    assert.ok(first);
    await node.delPod(first);
    failed(await node.call('ADD', late), 11, /one cooling, free in [12] s/);
    await sleep(2_100);
    const rested = await node.call('ADD', late);
    succeeded(rested);
    assert.equal(rested.result?.ips?.[0]?.address, `${first.ip}/28`);

    await addRange(cluster.fabric, ...GREEN);
    const next = await node.addPod('next');
    assert.match(next.ip, /^10\.30\.0\./);
    succeeded(await node.call('STATUS', late));
  });
});
