import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseCidr } from '../../../ipam/model/address.ts';
import { isIdle, blockUseOf, surplusOf, type BlockUse } from '../../../ipam/node/surplus.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { returnIdleBlock } from '../../../ipam/release/return-block.ts';
import { owner, range, World } from './world.ts';

const stance = (more: Partial<BlockUse>): BlockUse => ({
  node: 'n',
  range: 'blue',
  cidr: parseCidr('10.20.0.0/28'),
  family: 4,
  sequence: 0,
  idle: false,
  hasRoom: false,
  draining: false,
  namedOnly: false,
  lastChange: 0,
  ...more,
});

suite('what a node can do without', () => {
  const anyStance = fc
    .record({
      family: fc.constantFrom<4 | 6>(4, 6),
      idle: fc.boolean(),
      hasRoom: fc.boolean(),
      draining: fc.boolean(),
    })
    .map(stance);

  test('is idle always; all that drains or is reserved; and all but one of the rest, where none in use has room', () => {
    fc.assert(
      fc.property(fc.array(anyStance, { maxLength: 12 }), (blocks) => {
        const surplus = new Set(surplusOf(blocks));
        for (const each of surplus) assert.ok(each.idle);
        // An idle block without room is one that its range reserves.
        for (const each of blocks)
          if (each.idle && (each.draining || !each.hasRoom)) assert.ok(surplus.has(each));
        for (const family of [4, 6] as const) {
          const usable = blocks.filter(
            (each) => each.family === family && !each.draining && (each.hasRoom || !each.idle),
          );
          const kept = usable.filter((each) => each.idle && !surplus.has(each)).length;
          const hasBusyRoom = usable.some((each) => !each.idle && each.hasRoom);
          const hasIdle = usable.some((each) => each.idle);
          assert.equal(kept, hasIdle && !hasBusyRoom ? 1 : 0);
        }
      }),
    );
  });
});

suite('giving a block back', () => {
  const setUp = async (): Promise<{ world: World; back: () => ReturnType<typeof returnIdleBlock> }> => {
    const world = new World();
    const blue = range('10.20.0.0/24', { name: 'blue', cooldownMs: 1_000 });
    await addRange(world.ipam, blue);
    await allocate(world.ipam, { node: 'n', owner: owner('one'), families: [4] });
    await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'one', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    const [block] = world.blocks();
    assert.ok(block);
    return { world, back: () => returnIdleBlock(world.ipam, blue, block) };
  };

  test('not while an address rests', async () => {
    const { world, back } = await setUp();
    assert.equal(await back(), 'changed');
    world.now += 1_001;
    assert.equal(await back(), 'returned');
    assert.equal(await back(), 'changed');
    assert.deepEqual([world.blocks(), world.problems()], [[], []]);
  });

  test('not when it was used since it was looked at, not even between reading and writing', async () => {
    const { world, back } = await setUp();
    world.now += 1_001;
    let once = true;
    world.store.before = async (kind) => {
      if (kind !== 'commit' || !once) return;
      once = false;
      await allocate(world.ipam, { node: 'n', owner: owner('two'), families: [4] });
    };
    assert.equal(await back(), 'changed');
    assert.equal(world.given().size, 1);
  });

  test('not one that another node claimed since, and not a younger one of the same node', async () => {
    const { world, back } = await setUp();
    world.now += 1_001;
    assert.equal(await back(), 'returned');
    for (const node of ['m', 'n']) {
      for (let i = 0; i < 16; i++)
        await allocate(world.ipam, { node, owner: owner(`${node}${i}`), families: [4] });
    }
    assert.equal(await back(), 'changed');
  });

  test('a block set aside for a stranger is not idle', async () => {
    const { world } = await setUp();
    world.now += 1_001;
    const [block] = world.blocks();
    const [blue] = world.ranges();
    assert.ok(block && blue);
    assert.ok(isIdle({ block, range: blue }, world.now));
    const slots = block.slots.map((slot) =>
      slot.state === 'released' ? { ...slot, conflictMac: '02:00:00:00:00:01' } : slot,
    );
    const held = { block: { ...block, slots }, range: blue };
    assert.ok(!isIdle(held, world.now));
    assert.equal(blockUseOf(held, world.now).idle, false);
  });
});
