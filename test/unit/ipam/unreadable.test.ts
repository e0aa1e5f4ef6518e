import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { setNodeDraining } from '../../../ipam/node/drain.ts';
import { readHistory } from '../../../ipam/query/history.ts';
import { sweepIndex, viewNode } from '../../../ipam/query/node-view.ts';
import { tracePod } from '../../../ipam/query/pod-trace.ts';
import { listRangeUsage } from '../../../ipam/query/range-usage.ts';
import { listBlocks, readAddress, showAddress } from '../../../ipam/query/views.ts';
import { addRange, planRangeRemoval, removeRange } from '../../../ipam/ranges/ranges.ts';
import { encodeRange } from '../../../ipam/records/range-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { notCounted } from '../../../ipam/records/unreadable.ts';
import { release } from '../../../ipam/release/release.ts';
import { returnIdleBlock } from '../../../ipam/release/return-block.ts';
import { findRange, rangeOf, readRanges } from '../../../ipam/store/ranges.ts';
import { give, ips, owner, range, World } from './world.ts';

const BLUE = range('10.20.0.0/24', { name: 'blue', vlan: 120, cooldownMs: 0 });
const SIX = range('fd00:20::/112', { name: 'six', vlan: 120 });
const NEWER = JSON.stringify({
  ...(JSON.parse(encodeRange(range('10.99.0.0/24', { name: 'red' }))) as object),
  v: 3,
});

/** Returns a world with two ranges on one VLAN, and the given records beside them. */
async function worldWith(...records: readonly (readonly [key: string, value: string])[]): Promise<World> {
  const world = new World();
  await addRange(world.ipam, BLUE);
  await addRange(world.ipam, SIX);
  await world.store.commit(
    [],
    records.map(([key, value]) => put(key, value)),
  );
  return world;
}

const valueOf = (world: World, key: string): string => world.store.entries.get(key)?.value ?? 'gone';

/** Replaces the value of an existing record. */
async function damage(world: World, key: string, value: (before: string) => string): Promise<void> {
  await world.store.commit([], [put(key, value(valueOf(world, key)))]);
}

/** Damages the only block of a node, which then has one slot too few. */
const dropSlot = (value: string): string => {
  const block = JSON.parse(value) as { slots: unknown[] };
  return JSON.stringify({ ...block, slots: block.slots.slice(1) });
};

suite('a range record that cannot be read', () => {
  for (const [what, key, value, reason] of [
    ['truncated', 'ranges/red', '{"v":1,"na', 'etcd key \'ranges/red\' holds no JSON: "{\\"v\\":1,\\"na"'],
    [
      'of a newer version',
      'ranges/red',
      NEWER,
      "etcd key 'ranges/red' was written by a newer cellnet: its version is 3, and this one reads 2",
    ],
    [
      'a stray key',
      'ranges/blue/notes',
      'ask Bob',
      'etcd key \'ranges/blue/notes\' holds no JSON: "ask Bob"',
    ],
    [
      'under another name',
      'ranges/copy',
      encodeRange(BLUE),
      "etcd key 'ranges/copy' holds the value of 'ranges/blue'",
    ],
  ] as const) {
    test(`${what}: the others serve, and it stays`, async () => {
      const world = await worldWith([key, value]);
      const { ranges, unreadable } = await readRanges(world.store);
      assert.deepEqual(
        ranges.map((each) => each.range.name),
        ['blue', 'six'],
      );
      assert.deepEqual(unreadable, [{ key, reason }]);
      assert.equal((await give(world, 'n1', 'a', [4, 6])).length, 2, 'a claim of both families');
      await roomFor(world.ipam, { node: 'n2', families: [4, 6] });
      const requested = [parseAddress('10.20.0.200')];
      const given = await allocate(world.ipam, { node: 'n2', owner: owner('b'), families: [4], requested });
      assert.deepEqual(ips(given), ['10.20.0.200']);
      assert.equal((await findRange(world.ipam, 'blue')).range.name, 'blue');
      assert.equal((await rangeOf(world.ipam, parseAddress('10.20.0.3'))).name, 'blue');
      assert.deepEqual((await listRangeUsage(world.ipam)).unreadable, unreadable);
      assert.equal(valueOf(world, key), value);
    });
  }

  test('is named where an address, a name or room is not found', async () => {
    const world = await worldWith(['ranges/red', NEWER]);
    const newer = /etcd key 'ranges\/red' was written by a newer cellnet/;
    await assert.rejects(rangeOf(world.ipam, parseAddress('10.99.0.1')), {
      code: 'not-found',
      message: newer,
    });
    await assert.rejects(findRange(world.ipam, 'red'), { code: 'corrupt-record', message: newer });
    await assert.rejects(findRange(world.ipam, 'pink'), {
      code: 'not-found',
      message: /there are blue, six/,
    });
    const requested = [parseAddress('10.99.0.1')];
    const asked = { node: 'n', owner: owner('a'), families: [4] as const, requested };
    await assert.rejects(allocate(world.ipam, asked), { code: 'not-found', message: newer });
    const only = { node: 'n', owner: owner('a'), families: [4] as const, ranges: ['red'] };
    await assert.rejects(allocate(world.ipam, only), {
      code: 'exhausted',
      message: newer,
      remedy: /docs\/operations\/bad-record\.md/,
    });
    await assert.rejects(roomFor(world.ipam, { ...only, families: [4] }), {
      code: 'exhausted',
      message: newer,
    });
    await assert.rejects(allocate(world.ipam, { ...only, families: [4, 6] }), {
      code: 'exhausted',
      message: newer,
    });
    const both = await allocate(world.ipam, { ...only, ranges: ['red', 'blue'] });
    assert.equal(both.length, 1, 'one of the named ranges serves');
  });

  test('keeps a range from being added, because the two may overlap', async () => {
    const world = await worldWith(['ranges/red', NEWER]);
    const pink = range('10.40.0.0/24', { name: 'pink' });
    await assert.rejects(addRange(world.ipam, pink), {
      code: 'corrupt-record',
      message:
        /range 'pink' cannot be added: it may overlap with one that cannot be read: etcd key 'ranges\/red'/,
    });
    await assert.rejects(addRange(world.ipam, range('10.20.0.0/25', { name: 'x' })), { code: 'conflict' });
    assert.equal(world.store.entries.has('ranges/pink'), false);
  });
});

suite('a block that cannot be read', () => {
  test('is claimed: by its key alone, of whatever size and place', async () => {
    const world = await worldWith(
      ['blocks/blue/10.20.0.16/28', '{"v":1'],
      ['blocks/blue/10.20.0.64/26', 'x'],
      ['blocks/blue/10.20.0.136/29', '{"v":2}'],
      ['blocks/blue/10.20.0.0/24/notes', 'x'],
    );
    for (let n = 0; n < 10; n++) await give(world, `n${n}`, `c${n}`);
    const blocks = [...world.store.entries.keys()].filter((key) => /^blocks\/blue\/[\d.]+\/28$/.test(key));
    const given = blocks.map((key) => Number(/\.(\d+)\/28/.exec(key)?.[1]) / 16).sort((a, b) => a - b);
    assert.deepEqual(
      given,
      [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15],
      'the keys: the damaged one and ten claims',
    );
    await assert.rejects(give(world, 'n10', 'c10'), { code: 'exhausted' });
  });

  test('keeps a requested address of it', async () => {
    const world = await worldWith(
      ['blocks/blue/10.20.0.16/28', '{"v":1'],
      ['blocks/blue/10.20.0.40/29', 'x'],
    );
    const ask = (ip: string): Promise<unknown> =>
      allocate(world.ipam, { node: 'n', owner: owner(ip), families: [4], requested: [parseAddress(ip)] });
    await assert.rejects(ask('10.20.0.17'), {
      code: 'taken',
      message:
        /10\.20\.0\.17 is in a block that cannot be read: etcd key 'blocks\/blue\/10\.20\.0\.16\/28' holds no JSON/,
    });
    for (const ip of ['10.20.0.33', '10.20.0.41'])
      await assert.rejects(ask(ip), {
        code: 'taken',
        message: /etcd key 'blocks\/blue\/10\.20\.0\.40\/29' touches/,
      });
    await ask('10.20.0.50');
  });

  test('keeps what was given out of it: what cannot be looked at is not gone', async () => {
    const world = await worldWith();
    const allocations = await give(world, 'n1', 'a');
    const key = [...world.store.entries.keys()].find((each) => each.startsWith('blocks/blue/')) ?? '';
    const sound = valueOf(world, key);
    await damage(world, key, (value) => value.slice(0, 90));
    const undo = { node: 'n1', allocations, cause: { why: 'undo' } } as const;
    await assert.rejects(release(world.ipam, undo), { code: 'corrupt-record', message: /holds no JSON/ });
    await damage(world, key, () => sound);
    assert.equal((await release(world.ipam, undo)).length, 1);
  });

  for (const [what, change, reason] of [
    ['truncated', (value: string) => value.slice(0, 90), /holds no JSON/],
    [
      'of a newer version',
      (value: string) => value.replace('"v":1', '"v":7'),
      /was written by a newer cellnet/,
    ],
    ['that does not fit its range', dropSlot, /is not sound: .*has 15 slots, not 16/],
  ] as const) {
    test(`${what}: nothing is read out of it, and all else is shown`, async () => {
      const world = await worldWith();
      const [address] = await give(world, 'n1', 'a');
      assert.ok(address);
      const key = [...world.store.entries.keys()].find((each) => each.startsWith('blocks/blue/')) ?? '';
      await give(world, 'n2', 'b');
      const free = (await listRangeUsage(world.ipam)).usages[0]?.free ?? 0;
      await damage(world, key, change);
      const damaged = valueOf(world, key);

      const { blocks, unreadable } = await listBlocks(world.ipam);
      assert.deepEqual(
        blocks.map(({ block }) => block.node),
        ['n2'],
      );
      assert.deepEqual(
        unreadable.map((each) => each.key),
        [key],
      );
      assert.match(unreadable[0]?.reason ?? '', reason);
      const [usage] = (await listRangeUsage(world.ipam)).usages;
      assert.deepEqual([usage?.allocated, usage?.blocks.claimed], [1, 2]);
      assert.ok((usage?.free ?? 0) <= free - 13, 'its addresses are not free');

      const read = await readAddress(world.ipam, address.address);
      assert.deepEqual('unreadable' in read && read.unreadable.key, key);
      await assert.rejects(showAddress(world.ipam, address.address), {
        code: 'corrupt-record',
        message: reason,
      });
      const history = await readHistory(world.ipam, address.address);
      assert.deepEqual([history.view.state, history.unreadable.length], ['unknown', 1]);
      const trace = await tracePod(world.ipam, { namespace: 'shop', name: 'x' }, () => undefined);
      assert.deepEqual(
        trace.unreadable.map((each) => each.key),
        [key],
      );

      await assert.rejects(planRangeRemoval(world.ipam, 'blue'), { code: 'corrupt-record', message: reason });
      assert.deepEqual(
        (await viewNode(world.ipam, 'n1')).unreadable.map((each) => each.key),
        [key],
      );
      assert.deepEqual((await viewNode(world.ipam, 'n2')).unreadable, []);
      assert.deepEqual((await viewNode(world.ipam, 'n1')).disagreements, []);
      assert.deepEqual(await sweepIndex(world.ipam, 'n1'), []);
      assert.equal(valueOf(world, key), damaged);
    });
  }
});

suite('an index entry or drain mark that cannot be read', () => {
  const broken = async (): Promise<{ world: World; index: string; key: string }> => {
    const world = await worldWith();
    await give(world, 'n1', 'a');
    const index = [...world.store.entries.keys()].find((each) => each.startsWith('nodes/n1/')) ?? '';
    await damage(world, index, () => '{"v":1}');
    return { world, index, key: index.replace('nodes/n1/', 'blocks/blue/') };
  };

  test('is told of its node, is no disagreement, and is not swept', async () => {
    const { world, index } = await broken();
    const view = await viewNode(world.ipam, 'n1');
    assert.deepEqual(
      view.unreadable.map((each) => each.key),
      [index],
    );
    assert.deepEqual([view.blocks.length, view.disagreements], [1, []]);
    assert.deepEqual(await sweepIndex(world.ipam, 'n1'), []);
    assert.equal(valueOf(world, index), '{"v":1}');
  });

  test('keeps its block from being returned, which would delete it', async () => {
    const { world, index, key } = await broken();
    await damage(world, key, (value) => {
      const block = JSON.parse(value) as { slots: unknown[] };
      return JSON.stringify({
        ...block,
        slots: block.slots.map((slot) => (slot === 'reserved' ? slot : null)),
      });
    });
    const [block] = world.blocks();
    assert.ok(block);
    assert.equal(await returnIdleBlock(world.ipam, BLUE, block), 'unreadable');
    await assert.rejects(removeRange(world.ipam, 'blue'), { code: 'corrupt-record', message: /nodes\/n1/ });
    assert.equal(world.ranges().find(({ name }) => name === 'blue')?.state, 'active');
    assert.equal(valueOf(world, index), '{"v":1}');
    assert.notEqual(valueOf(world, key), 'gone');
  });

  test('a mark counts as set, and neither drain nor undrain changes it', async () => {
    const world = await worldWith([
      'nodes/n1/draining',
      '{"v":2,"since":"2026-01-01T00:00:00Z","until":"noon"}',
    ]);
    const before = valueOf(world, 'nodes/n1/draining');
    const view = await viewNode(world.ipam, 'n1');
    assert.deepEqual([view.draining, view.drainingSince], [true, undefined]);
    assert.deepEqual(
      view.unreadable.map((each) => each.key),
      ['nodes/n1/draining'],
    );
    assert.equal(await setNodeDraining(world.ipam, 'n1', true), false);
    await assert.rejects(setNodeDraining(world.ipam, 'n1', false), {
      code: 'corrupt-record',
      message: /newer cellnet/,
    });
    await assert.rejects(give(world, 'n1', 'a'), { code: 'exhausted', message: /is draining/ });
    assert.equal(valueOf(world, 'nodes/n1/draining'), before);
  });
});

test('a message names three records, and says how many more there are', () => {
  const records = Array.from({ length: 5 }, (_, i) => ({ key: `k${i}`, reason: `etcd key 'k${i}' is bad` }));
  assert.equal(notCounted([]), '');
  assert.equal(
    notCounted(records),
    "; not counted, because it cannot be read: etcd key 'k0' is bad; etcd key 'k1' is bad; etcd key 'k2' is bad; and 2 more",
  );
});
