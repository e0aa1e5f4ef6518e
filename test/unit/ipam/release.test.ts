import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import type { ReleaseCause } from '../../../ipam/model/lifetime.ts';
import { allocationsOn, findSuperseded, type SeenAllocation } from '../../../ipam/node/allocations.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { owner, range, World } from './world.ts';

const NODE = 'node-1';

async function withRange(): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
  return world;
}

const give = async (world: World, id: string, podUid?: string): Promise<Allocation> => {
  const request = {
    node: NODE,
    owner: owner(id, podUid === undefined ? {} : { podUid }),
    families: [4 as const],
  };
  const [allocation] = await allocate(world.ipam, request);
  assert.ok(allocation);
  return allocation;
};

const held = async (world: World): Promise<SeenAllocation[]> =>
  allocationsOn(NODE, await readNodeBlocks(world.ipam.store, NODE));

const text = ({ address }: SeenAllocation): string => formatAddress(address);

const CAUSE: ReleaseCause = { why: 'reconcile', detail: 'namespace-gone' };

suite('releasing just what was seen', () => {
  test('all of it in one transaction; a second time there is nothing', async () => {
    const world = await withRange();
    const [a, b, c] = [await give(world, 'a'), await give(world, 'b'), await give(world, 'c')];
    const before = world.store.revision;
    assert.deepEqual(await release(world.ipam, { node: NODE, allocations: [a, b], cause: CAUSE }), [
      text(a),
      text(b),
    ]);
    assert.equal(world.store.revision, before + 1n);
    assert.deepEqual((await held(world)).map(text), [text(c)]);
    assert.deepEqual(await release(world.ipam, { node: NODE, allocations: [a, b], cause: CAUSE }), []);
  });

  test('what another container has by now is left alone', async () => {
    const world = await withRange();
    const seen = await give(world, 'a');
    await release(world.ipam, { node: NODE, attachment: { containerId: 'a', ifname: 'eth0' }, cause: CAUSE });
    const request = { node: NODE, owner: owner('b'), families: [4 as const], requested: [seen.address] };
    await allocate(world.ipam, request);
    assert.deepEqual(await release(world.ipam, { node: NODE, allocations: [seen], cause: CAUSE }), []);
    assert.equal((await held(world))[0]?.slot.owner.containerId, 'b');
  });

  test('what the same container was given anew is left alone: by sequence, or by time in a block claimed again', async () => {
    const world = await withRange();
    const seen = await give(world, 'a');
    const [now] = await held(world);
    assert.ok(now);
    const earlier = { ...seen, slot: { ...seen.slot, sequence: seen.slot.sequence + 1 } };
    const other = { ...seen, slot: { ...seen.slot, allocatedAt: seen.slot.allocatedAt - 1 } };
    assert.deepEqual(
      await release(world.ipam, { node: NODE, allocations: [earlier, other], cause: CAUSE }),
      [],
    );
    assert.equal((await held(world)).length, 1);
  });

  test('what a cache believes to be gone is read anew', async () => {
    const world = await withRange();
    const cached = world.agent();
    await allocate(cached, { node: NODE, owner: owner('x'), families: [4] });
    const seen = await give(world, 'a');
    assert.deepEqual(await release(cached, { node: NODE, allocations: [seen], cause: CAUSE }), [text(seen)]);
  });
});

test('superseded are other containers of the same pod and interface', async () => {
  const world = await withRange();
  const older = await give(world, 'a', 'uid-1');
  await give(world, 'b', 'uid-2');
  await give(world, 'c', 'uid-1');
  await give(world, 'd');
  const allocations = allocationsOn(NODE, await readNodeBlocks(world.ipam.store, NODE));
  const of = (id: string, ifname: string, podUid?: string): string[] =>
    findSuperseded(allocations, {
      ...{ containerId: id, ifname, network: 'cell', bootId: 'boot-1' },
      ...(podUid !== undefined && { podUid }),
    }).map(text);
  assert.deepEqual(of('c', 'eth0', 'uid-1'), [text(older)]);
  assert.deepEqual(of('c', 'net1', 'uid-1'), []);
  assert.deepEqual(of('e', 'eth0', 'uid-3'), []);
  assert.deepEqual(of('e', 'eth0'), []);
});
