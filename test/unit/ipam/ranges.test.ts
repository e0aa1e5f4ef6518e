import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, takeSlot } from '../../../ipam/model/block.ts';
import { addRange, removeRange } from '../../../ipam/ranges/ranges.ts';
import { encodeBlock } from '../../../ipam/records/block-record.ts';
import { release } from '../../../ipam/release/release.ts';
import { give, owner, range, World } from './world.ts';

suite('ranges', () => {
  test('two overlapping ones added at the same moment: just one is there', async () => {
    const world = new World();
    const results = await Promise.allSettled([
      addRange(world.ipam, range('10.20.0.0/22', { name: 'a' })),
      addRange(world.ipam, range('10.20.2.0/23', { name: 'b' })),
    ]);
    assert.deepEqual(results.map((each) => each.status).sort(), ['fulfilled', 'rejected']);
    assert.equal(world.ranges().length, 1);
  });

  test('one with addresses given out stays as it was; an empty one goes with its blocks', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue' }));
    await give(world, 'node-1', 'a');
    await assert.rejects(removeRange(world.ipam, 'blue'), {
      code: 'in-use',
      message: /range 'blue' has 1 address given out, on node-1/,
    });
    assert.equal(world.ranges()[0]?.state, 'active');
    await release(world.ipam, {
      node: 'node-1',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    assert.equal((await removeRange(world.ipam, 'blue')).emptyBlocks, 1);
    assert.deepEqual([...world.store.entries.keys()], ['machines/node-1']);
  });

  test('one that gets an address while it is removed is active again', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue' }));
    await give(world, 'n', 'a');
    await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    world.now += 60_000;
    const [block] = world.blocks();
    assert.ok(block);
    // Between the plan and the draining, the node allocates an address from its block.
    let raced = false;
    world.store.before = async (request) => {
      if (request !== 'commit' || raced) return;
      raced = true;
      await give(world, 'n', 'b');
    };
    await assert.rejects(removeRange(world.ipam, 'blue'), { code: 'in-use' });
    assert.equal(world.ranges()[0]?.state, 'active');
    assert.equal(world.given().size, 1);
    assert.deepEqual(world.problems(), []);
  });

  test('one in which a block appears at the last moment is not removed', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue' }));
    const key = 'blocks/blue/10.20.0.0/28';
    world.store.before = (request) => {
      // The second commit deletes the range. The first set it to draining.
      if (request === 'commit' && world.ranges()[0]?.state === 'draining' && !world.store.entries.has(key)) {
        const block = takeSlot(
          newBlock(range('10.20.0.0/22', { name: 'blue' }), parseCidr('10.20.0.0/28'), 'n', 0),
          3,
          owner('a'),
          0,
        ).block;
        world.store.entries.set(key, { key, value: encodeBlock(block), revision: '1' });
      }
      return Promise.resolve();
    };
    await assert.rejects(removeRange(world.ipam, 'blue'), { code: 'in-use' });
    assert.equal(world.ranges().length, 1);
  });

  test('room is told without changing anything', async () => {
    const world = new World();
    await assert.rejects(roomFor(world.ipam, { node: 'n', families: [4] }), {
      code: 'exhausted',
      message: /holds no active IPv4 range/,
    });
    await addRange(world.ipam, range('10.20.0.0/28'));
    const { revision } = world.store;
    await roomFor(world.ipam, { node: 'n', families: [4] });
    assert.equal(world.store.revision, revision);
    for (let i = 0; i < 14; i++) await give(world, 'n', `c${i}`);
    await assert.rejects(roomFor(world.ipam, { node: 'n', families: [4] }), {
      code: 'exhausted',
      message: /full: 10\.20\.0\.0-28/,
    });
  });
});
