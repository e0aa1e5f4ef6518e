import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { claimAhead, LOW_WATER, returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { owner, range, World } from './world.ts';

const give = async (ipam: Ipam, ...ids: string[]): Promise<void> => {
  for (const id of ids) await allocate(ipam, { node: 'n', owner: owner(id), families: [4] });
};
const take = async (ipam: Ipam, ...ids: string[]): Promise<void> => {
  for (const id of ids)
    await release(ipam, {
      node: 'n',
      attachment: { containerId: id, ifname: 'eth0' },
      cause: { why: 'del' },
    });
};
const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `c${i}`);
const none: ReadonlySet<string> = new Set();

suite('claiming ahead', () => {
  test('claims the next block when few addresses are left, once, and not before', async () => {
    const world = new World();
    const agent = world.agent();
    await addRange(world.ipam, range('10.20.0.0/22', { cooldownMs: 0 }));
    await give(agent, ...ids(16 - LOW_WATER));
    const before = world.blocks().length;
    assert.equal(await claimAhead(agent, { node: 'n' }, 4), undefined);
    await give(agent, 'one-more');
    assert.match((await claimAhead(agent, { node: 'n' }, 4)) ?? '', /^10\.20\..*\/28$/);
    assert.equal(await claimAhead(agent, { node: 'n' }, 4), undefined);
    assert.equal(world.blocks().length, before + 1);
    assert.deepEqual(world.problems(), []);
  });

  test('cooling addresses are none that can be given out', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { cooldownMs: 30_000 }));
    await give(world.ipam, ...ids(16));
    await take(world.ipam, ...ids(16));
    assert.ok(await claimAhead(world.ipam, { node: 'n' }, 4));
  });

  test('where no range has a block left, nothing happens', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28'));
    await give(world.ipam, ...ids(12));
    assert.equal(await claimAhead(world.ipam, { node: 'n' }, 4), undefined);
    assert.equal(world.blocks().length, 1);
  });
});

suite('giving back', () => {
  const filled = async (): Promise<World> => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { cooldownMs: 1_000 }));
    await give(world.ipam, ...ids(40));
    return world;
  };

  test('idle blocks go after two looks; one is kept, and nothing that rests', async () => {
    const world = await filled();
    await take(world.ipam, ...ids(40));
    const resting = await returnIdle(world.ipam, 'n', none);
    assert.deepEqual([resting.idle.size, resting.returned], [0, []]);
    world.now += 1_001;
    const first = await returnIdle(world.ipam, 'n', none);
    assert.deepEqual([first.idle.size, first.returned], [2, []]);
    assert.equal(world.blocks().length, 3);
    const second = await returnIdle(world.agent(), 'n', first.idle);
    assert.equal(second.returned.length, 2);
    assert.equal(world.blocks().length, 1);
    assert.deepEqual(world.problems(), []);
    await give(world.ipam, 'again');
    assert.equal(world.blocks().length, 1);
  });

  test('more idle blocks than one transaction may delete go one after the other', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { blockSize: 4, cooldownMs: 0 }));
    await give(world.ipam, ...ids(320));
    await take(world.ipam, ...ids(320));
    world.now += 1;
    let { idle } = await returnIdle(world.ipam, 'n', none);
    const sizes: number[] = [];
    while (idle.size > 0) {
      const next = await returnIdle(world.ipam, 'n', idle);
      sizes.push(next.returned.length);
      idle = next.idle;
    }
    assert.deepEqual(sizes, [32, 32, world.blocks().length === 1 ? sizes[2] : 0]);
    assert.ok(sizes.every((size) => 2 * size + 1 <= 128));
    assert.equal(world.blocks().length, 1);
    assert.deepEqual(world.problems(), []);
  });

  test('one that was used in between stays', async () => {
    const world = await filled();
    await take(world.ipam, ...ids(40));
    world.now += 1_001;
    const { idle } = await returnIdle(world.ipam, 'n', none);
    await give(world.ipam, ...ids(40));
    await take(world.ipam, ...ids(40));
    world.now += 1_001;
    assert.deepEqual((await returnIdle(world.ipam, 'n', idle)).returned, []);
    assert.equal(world.blocks().length, 3);
  });

  test('an agent that remembers goes on with what it has', async () => {
    const world = await filled();
    const agent = world.agent();
    await take(agent, ...ids(40));
    world.now += 1_001;
    const { idle } = await returnIdle(agent, 'n', none);
    await returnIdle(agent, 'n', idle);
    await give(agent, ...ids(20));
    assert.equal(world.given().size, 20);
    assert.deepEqual(world.problems(), []);
  });
});
