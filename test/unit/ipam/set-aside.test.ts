import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { SET_ASIDE_MS } from '../../../ipam/model/block.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { give, ips, range, World } from './world.ts';

suite('an address that a stranger uses', () => {
  test('is set aside for an hour, then given out again in its turn', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    const [first] = await give(world, 'n', 'a');
    assert.ok(first);
    const expected = { containerId: 'a', ifname: 'eth0', sequence: first.slot.sequence };
    const mac = '02:00:00:00:00:99';
    assert.equal(
      await releaseAddress(world.ipam, first.address, expected, { why: 'conflict', conflictMac: mac }),
      'released',
    );
    assert.deepEqual(world.problems(), []);
    for (let i = 0; i < 13; i++) await give(world, 'n', `c${i}`);
    await assert.rejects(give(world, 'n', 'late'), { code: 'exhausted', message: /free in 3600 s/ });
    await assert.rejects(
      roomFor(world.ipam, { node: 'n', families: [4] }),
      { code: 'exhausted' },
      'a set-aside address is no room',
    );
    world.now += SET_ASIDE_MS;
    assert.deepEqual(ips(await give(world, 'n', 'late')), ips([first]));
    assert.deepEqual(world.problems(), []);
  });

  test('of another allocation by then is left alone', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28'));
    const [first] = await give(world, 'n', 'a');
    assert.ok(first);
    const stale = { containerId: 'a', ifname: 'eth0', sequence: first.slot.sequence + 1 };
    assert.equal(
      await releaseAddress(world.ipam, first.address, stale, {
        why: 'conflict',
        conflictMac: '02:00:00:00:00:99',
      }),
      'changed',
    );
    assert.equal(world.given().size, 1);
  });
});
