import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nearestNames } from '../../../ipam/model/nearest.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { release } from '../../../ipam/release/release.ts';
import { returnIdleBlock } from '../../../ipam/release/return-block.ts';
import { machineKey } from '../../../ipam/records/machine-record.ts';
import { CliWorld } from '../../golden/world.ts';

/** Commands that take a name, with a typing error in it, and the name that it resembles. */
const TYPOS = [
  ['node show nod-2', 'node-2'],
  ['node drain nod-2', 'node-2'],
  ['node undrain nod-2', 'node-2'],
  ['node adopt nod-2 --machine 0123456789ab', 'node-2'],
  ['node remove nod-2', 'node-2'],
  ['node remove nod-2 --yes', 'node-2'],
  ['node remove nod-2 --dry-run', 'node-2'],
  ['block list --node nod-2', 'node-2'],
  ['block list --node nod-2 --range blue', 'node-2'],
  ['block return --node nod-2 --yes', 'node-2'],
  ['block return --node nod-2 --dry-run', 'node-2'],
  ['ip list --node ndoe-2', 'node-2'],
  ['ip list --node noode-2', 'node-2'],
  ['block list --range bleu', 'blue'],
  ['ip list --range bleu', 'blue'],
  ['block return --range blu --yes', 'blue'],
  ['range show blu', 'blue'],
  ['range drain blu', 'blue'],
  ['range drain blu --dry-run', 'blue'],
  ['range undrain BLU', 'blue'],
  ['range remove greeen --yes', 'green'],
  ['range remove greeen --dry-run', 'green'],
  ['pod show shop/web1', 'shop/web-1'],
] as const;

suite('a name that nothing knows', () => {
  for (const output of ['table', 'json'])
    for (const [words, meant] of TYPOS)
      test(`${words} -o ${output}: exit status 2, the nearest name, and no change`, async () => {
        const world = await CliWorld.make();
        const before = world.ipam.store.revision;
        const ran = await world.run(`${words} -o ${output}`);
        assert.equal(ran.status, 2, ran.stdout);
        assert.match(ran.stderr, new RegExp(`Did you mean (?:'[^']+'(?:, | or ))*'${meant}'`));
        assert.equal(world.ipam.store.revision, before);
      });

  test('without an API server, too', async () => {
    for (const words of ['ip list --node nod-2', 'node remove nod-2 --force --yes', 'pod show shop/web1']) {
      const world = await CliWorld.make();
      world.env = {};
      const ran = await world.run(words);
      assert.equal(ran.status, 2, words);
      assert.match(ran.stderr, /no API server is configured[^]*Did you mean/);
    }
  });

  test('an address outside all ranges', async () => {
    for (const words of ['release 10.99.0.1 --yes', 'ip show 10.99.0.1', 'ip history 10.99.0.1']) {
      const ran = await (await CliWorld.make()).run(words);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], words);
      assert.match(ran.stderr, /10\.99\.0\.1 is in no range: the ranges are 10\.20\.0\.0\/22/);
    }
  });

  test('nothing is guessed where nothing is near', async () => {
    const ran = await (await CliWorld.make()).run('node remove zzz --yes');
    assert.equal(ran.status, 2);
    assert.doesNotMatch(ran.stderr, /Did you mean/);
    assert.match(ran.stderr, /nodes that hold blocks: node-1, node-2/);
  });

  test('automation may say that it does not matter', async () => {
    const world = await CliWorld.make();
    for (const words of ['node remove nod-2 --yes', 'range remove blu --yes']) {
      const ran = await world.run(`${words} --ignore-not-found`);
      assert.equal(ran.status, 0, ran.stderr);
      assert.match(ran.stdout, /^nothing to remove: /);
    }
    const removed = JSON.parse(
      (await world.run('range remove blu --yes --ignore-not-found -o json')).stdout,
    ) as object;
    assert.deepEqual(removed, { name: 'blu', cidr: null, emptyBlocks: 0, removed: false });
    // It does not hide why a range that exists stays.
    assert.equal((await world.run('range remove blue --yes --ignore-not-found')).status, 2);
  });
});

suite('a name that something knows, and of which there is nothing now', () => {
  test('a node that the API server has: lists are empty', async () => {
    const world = await CliWorld.make();
    world.nodes.push({ name: 'fresh', uid: 'f', ready: true });
    for (const words of ['ip list', 'block list', 'block return']) {
      const ran = await world.run(`${words} --node fresh`);
      assert.deepEqual([ran.status, ran.stderr], [0, ''], words);
      assert.match(ran.stdout, /node 'fresh' holds no block/);
    }
  });

  /** Returns the world without any trace of node-2 except in the history. */
  const removed = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    const { ipam } = world.ipam;
    const { blocks } = await listBlocks(ipam, { node: 'node-2' });
    for (const { block } of blocks)
      for (const slot of block.slots)
        if (slot.state === 'used')
          await release(ipam, { node: 'node-2', attachment: slot.owner, cause: { why: 'del' } });
    world.ipam.now += 60_000;
    for (const { block, range } of (await listBlocks(ipam, { node: 'node-2' })).blocks)
      if (range) await returnIdleBlock(ipam, range, block);
    world.ipam.store.entries.delete(machineKey('node-2'));
    world.nodes = world.nodes.filter(({ name }) => name !== 'node-2');
    return world;
  };

  test('a node that was removed: the history knows it, so to remove it again succeeds', async () => {
    const world = await removed();
    for (const words of ['node remove node-2 --yes', 'node remove NODE-2 --yes', 'ip list --node node-2']) {
      const ran = await world.run(words);
      assert.deepEqual([ran.status, ran.stderr], [0, ''], words);
      assert.match(ran.stdout, /holds no block; nodes that do: node-1/);
    }
    const shown = await world.run('node show node-2 -o json');
    assert.equal(shown.status, 0, shown.stderr);
    assert.equal((JSON.parse(shown.stdout) as { state: string }).state, 'removed');
  });

  test('but no mark is set on it, unless forced', async () => {
    const world = await removed();
    const refused = await world.run('node drain node-2');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /etcd has only past addresses of it/);
    assert.equal((await world.run('node drain node-2 --force')).status, 0);
  });

  test('capitals do not count in filters either', async () => {
    const world = await CliWorld.make();
    assert.equal(
      (await world.run('block list --node NODE-1 -o json')).stdout,
      (await world.run('block list --node node-1 -o json')).stdout,
    );
  });
});

test('names that a typing error may have made', () => {
  const nodes = ['node-1', 'node-2', 'gpu-1', 'node-12.example.com'];
  assert.deepEqual(nearestNames('node-3', nodes), ['node-1', 'node-2']);
  assert.deepEqual(nearestNames('ndoe-1', nodes), ['node-1', 'node-2']);
  assert.deepEqual(nearestNames('gpu1', nodes), ['gpu-1']);
  assert.deepEqual(nearestNames('NODE-12', nodes), ['node-1', 'node-2', 'node-12.example.com']);
  assert.deepEqual(nearestNames('x', nodes), []);
  assert.deepEqual(nearestNames('', nodes), []);
});
