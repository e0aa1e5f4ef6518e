import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Machine } from '../../../ipam/model/machine.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { Node, twoNodes } from './living-node.ts';
import { owner, range, World } from './world.ts';

suite('a machine and its name', () => {
  const machine = (mac: string): Machine => ({ id: `m-${mac}`, macs: [mac], machineId: 'cloned' });

  test('a second machine of the name gets nothing, frees nothing, and is told why', async () => {
    const { world } = await twoNodes();
    const first = new Node(world, 'n', machine('52:54:00:00:00:01'));
    const second = new Node(world, 'n', machine('52:54:00:00:00:02'));
    await first.start('p');
    await assert.rejects(second.start('q'), {
      code: 'other-machine',
      message: /node name 'n' belongs to machine m-52:54:00:00:00:01 .*; this is machine m-52:54:00:00:00:02/,
      remedy: /cnictl node adopt n --machine m-52:54:00:00:00:02/,
    });
    const cause = { why: 'reconcile' } as const;
    await assert.rejects(release(second.ipam, { node: 'n', attachment: owner('p'), cause }), {
      code: 'other-machine',
    });
    assert.deepEqual([...world.given().values()], ['p']);
    await first.start('r');
  });

  test('a second machine that reads before the first writes loses the race', async () => {
    const { world } = await twoNodes();
    const first = new Node(world, 'n', machine('52:54:00:00:00:01'));
    const second = new Node(world, 'n', machine('52:54:00:00:00:02'));
    let once = true;
    world.store.before = async (kind) => {
      if (kind !== 'commit' || !once) return;
      once = false;
      await first.start('p');
    };
    await assert.rejects(second.start('q'), { code: 'other-machine' });
  });
});

test('what a change compares does not grow with the blocks of the node', async () => {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/20', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
  const guards: number[] = [];
  const commit = world.store.commit.bind(world.store);
  world.store.commit = (compared, writes) => {
    guards.push(compared.length);
    return commit(compared, writes);
  };
  const a = new Node(world, 'a');
  // More blocks than etcd compares in one transaction.
  for (let i = 0; i < 560; i++) await a.start(`p${i}`);
  assert.ok(world.blocks().length > 128, `${world.blocks().length} blocks`);
  assert.ok(Math.max(...guards) <= 8, `${Math.max(...guards)} comparisons`);
});
