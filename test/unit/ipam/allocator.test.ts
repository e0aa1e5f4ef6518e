import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate, lookup } from '../../../ipam/allocate/allocate.ts';
import { cidrContains, formatAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { takeSlot } from '../../../ipam/model/block.ts';
import type { IpamError } from '../../../ipam/model/errors.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { addRange, removeRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { encodeBlock } from '../../../ipam/records/block-record.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { release } from '../../../ipam/release/release.ts';
import { give, ips, owner, range, World } from './world.ts';

suite('allocating', () => {
  test('the first address claims a block; the same attachment gets the same address again', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { gateway: '10.20.0.1' }));
    const [first] = await give(world, 'node-1', 'a');
    const [again] = await give(world, 'node-1', 'a');
    assert.ok(first?.fresh && again && !again.fresh);
    assert.deepEqual(ips([first]), ips([again]));
    assert.equal(world.blocks().length, 1);
    assert.deepEqual(world.problems(), []);
  });

  test('a node fills its block before it claims another', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    for (let i = 0; i < 40; i++) await give(world, 'node-1', `c${i}`);
    assert.equal(world.blocks().length, 3);
    assert.equal(world.given().size, 40);
    assert.deepEqual(world.problems(), []);
  });

  test('a full range is followed by the next; when all are full the error names each and says why', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', gateway: '10.20.0.1' }));
    await addRange(world.ipam, range('10.30.0.0/28', { name: 'green' }));
    await addRange(world.ipam, range('10.40.0.0/28', { name: 'grey' }));
    await setRangeState(world.ipam, 'grey', 'draining');
    for (let i = 0; i < 27; i++) await give(world, 'node-1', `c${i}`);
    assert.equal([...world.given().keys()].filter((ip) => ip.startsWith('10.20.')).length, 13);
    await assert.rejects(give(world, 'node-1', 'late'), {
      code: 'exhausted',
      message:
        "no IPv4 address left for node 'node-1': blue 10.20.0.0/28 (full: every block is claimed), green 10.30.0.0/28 (full: every block is claimed), grey (draining)",
    });
    await addRange(world.ipam, range('10.50.0.0/28', { name: 'white' }));
    assert.match(ips(await give(world, 'node-1', 'late')).join(), /^10\.50\./);
  });

  test('without any range the error says how to add one', async () => {
    const world = new World();
    await assert.rejects(
      give(world, 'node-1', 'a'),
      (error: IpamError) => error.code === 'exhausted' && error.remedy.includes('cnictl range add'),
    );
  });

  test('a range name that does not exist is refused', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue' }));
    await assert.rejects(
      allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4], ranges: ['red'] }),
      { code: 'not-found', message: /'red'.*it has blue/ },
    );
  });

  test('a cooling address is not given out; when it is the only one, the error says when it is free', async () => {
    const world = new World();
    await addRange(
      world.ipam,
      range('10.20.0.0/28', { blockSize: 16, exclude: ['10.20.0.3-10.20.0.14'], cooldownMs: 30_000 }),
    );
    await give(world, 'n', 'a');
    await give(world, 'n', 'b');
    assert.equal(world.given().size, 2);
    await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    world.now += 18_000;
    await assert.rejects(give(world, 'n', 'c'), {
      code: 'exhausted',
      message: /has one cooling, free in 12 s/,
    });
    world.now += 12_000;
    assert.equal((await give(world, 'n', 'c')).length, 1);
  });

  test('both families come together, from ranges of one VLAN, or not at all', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'four', vlan: 120 }));
    await addRange(world.ipam, range('fd00:30::/64', { name: 'six-other', vlan: 130 }));
    await assert.rejects(give(world, 'n', 'a', [4, 6]), {
      code: 'exhausted',
      message:
        /no VLAN has an active range of IPv4 and of IPv6 for this network: four \(IPv4, VLAN 120, active\), six-other/,
    });
    assert.equal(world.given().size, 0);
    assert.equal(world.blocks().length, 0);
    await addRange(world.ipam, range('fd00:20::/64', { name: 'six', vlan: 120 }));
    const both = await give(world, 'n', 'a', [4, 6]);
    assert.deepEqual(
      both.map((each) => each.range.name),
      ['four', 'six'],
    );
    const released = await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    assert.deepEqual([...released].sort(), ips(both).sort());
    assert.deepEqual(world.problems(), []);
  });

  test('where one VLAN has no room for both, another that has is taken', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'a4', vlan: 120 }));
    await addRange(world.ipam, range('fd00:20::/64', { name: 'a6', vlan: 120 }));
    await addRange(world.ipam, range('10.30.0.0/24', { name: 'b4', vlan: 130 }));
    await addRange(world.ipam, range('fd00:30::/64', { name: 'b6', vlan: 130 }));
    for (let i = 0; i < 14; i++) await give(world, 'other', `c${i}`);
    const both = await give(world, 'n', 'x', [4, 6]);
    assert.deepEqual(
      both.map((each) => each.range.name),
      ['b4', 'b6'],
    );
    assert.deepEqual(world.problems(), []);
  });

  test('a later wish for IPv6 keeps the IPv4 address', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'four' }));
    await addRange(world.ipam, range('fd00:20::/64', { name: 'six' }));
    const [four] = await give(world, 'n', 'a');
    const both = await give(world, 'n', 'a', [4, 6]);
    assert.equal(ips(both)[0], four && formatAddress(four.address));
    assert.deepEqual(
      both.map((each) => each.fresh),
      [false, true],
    );
  });
});

suite('releasing', () => {
  test('what is gone is released already', async () => {
    const world = new World();
    assert.deepEqual(
      await release(world.ipam, {
        node: 'n',
        attachment: { containerId: 'a', ifname: 'eth0' },
        cause: { why: 'del' },
      }),
      [],
    );
  });

  test('a release that was put off takes nothing that was given later', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    world.now += 1000;
    await give(world, 'n', 'a');
    const attachment = { containerId: 'a', ifname: 'eth0' };
    assert.deepEqual(
      await release(world.ipam, {
        node: 'n',
        attachment,
        cause: { why: 'del' },
        allocatedUntil: world.now - 1,
      }),
      [],
    );
    assert.equal(
      (await release(world.ipam, { node: 'n', attachment, cause: { why: 'del' }, allocatedUntil: world.now }))
        .length,
      1,
    );
  });

  test('by address: only from the allocation that was looked at', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const [given] = await give(world, 'n', 'a');
    assert.ok(given);
    const expected = { containerId: 'a', ifname: 'eth0', sequence: given.slot.sequence };
    assert.equal(
      await releaseAddress(world.ipam, given.address, { ...expected, sequence: 99 }, { why: 'operator' }),
      'changed',
    );
    assert.equal(await releaseAddress(world.ipam, given.address, expected, { why: 'operator' }), 'released');
    assert.equal(await releaseAddress(world.ipam, given.address, expected, { why: 'operator' }), 'free');
    assert.deepEqual(await lookup(world.ipam, 'n', { containerId: 'a', ifname: 'eth0' }), []);
  });
});

suite('records that do not agree', () => {
  test('nothing is given out of a block under another key, and the rest goes on', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.60.0.0/24', { name: 'k' }));
    await allocate(world.ipam, {
      node: 'n1',
      owner: owner('a'),
      families: [4],
      requested: [parseAddress('10.60.0.17')],
    });
    const [block] = world.blocks();
    assert.ok(block);
    const forged = JSON.stringify({ ...(JSON.parse(encodeBlock(block)) as object), node: 'n2' });
    await world.store.commit(
      [],
      [
        { kind: 'put', key: 'blocks/k/10.60.0.32/28', value: forged },
        {
          kind: 'put',
          key: 'nodes/n2/10.60.0.32/28',
          value: '{"v":1,"range":"k","claimedAt":"2026-01-01T00:00:00Z"}',
        },
      ],
    );
    const [given] = await give(world, 'n2', 'b');
    assert.ok(given && !cidrContains(parseCidr('10.60.0.32/28'), given.address));
    assert.equal(world.store.entries.get('blocks/k/10.60.0.32/28')?.value, forged);
    const { unreadable } = await readNodeBlocks(world.ipam.store, 'n2');
    assert.deepEqual(unreadable, [
      {
        key: 'blocks/k/10.60.0.32/28',
        reason: "etcd key 'blocks/k/10.60.0.32/28' holds the value of 'blocks/k/10.60.0.16/28'",
      },
    ]);
  });

  test('a range that is not sound gives nothing out: told by its key and field', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.60.0.0/24', { name: 'k' }));
    const entry = world.store.entries.get('ranges/k');
    assert.ok(entry);
    for (const [change, message] of [
      [{ blockSize: 3 }, /etcd key 'ranges\/k': block size 3: expected one of/],
      [{ vlan: 5000 }, /vlan 5000: expected a VLAN ID/],
      [{ name: 'other' }, /holds the value of 'ranges\/other'/],
    ] as const) {
      const value = JSON.stringify({ ...(JSON.parse(entry.value) as object), ...change });
      await world.store.commit([], [{ kind: 'put', key: 'ranges/k', value }]);
      await assert.rejects(give(world, 'n', 'a'), { code: 'exhausted', message });
    }
  });

  test('a release that could not look at all of the node’s blocks is no success', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.60.0.0/24', { name: 'k' }));
    await give(world, 'n', 'a');
    const entry = world.store.entries.get('ranges/k');
    assert.ok(entry);
    await world.store.commit([], [{ kind: 'delete', key: 'ranges/k' }]);
    const attachment = { containerId: 'a', ifname: 'eth0' };
    await assert.rejects(release(world.ipam, { node: 'n', attachment, cause: { why: 'del' } }), {
      code: 'corrupt-record',
      message: /is of a range that etcd does not hold/,
    });
    await world.store.commit([], [{ kind: 'put', key: 'ranges/k', value: entry.value }]);
    assert.equal((await release(world.ipam, { node: 'n', attachment, cause: { why: 'del' } })).length, 1);
  });

  test('an address that is given out while its range is removed stays, and so does the range', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.60.0.0/28', { name: 'k', cooldownMs: 0 }));
    await give(world, 'n', 'a');
    await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    // Before the fourth scan of the removal, a node that read its block earlier takes an address.
    let scans = 0;
    world.store.before = async (request) => {
      if (request !== 'scan' || ++scans !== 4) return;
      world.store.before = () => Promise.resolve();
      const entry = [...world.store.entries.values()].find(({ key }) => key.startsWith('blocks/'));
      assert.ok(entry);
      const { block } = takeSlot(world.blocks()[0] ?? assert.fail(), 2, owner('live'), world.now);
      await world.store.commit([], [{ kind: 'put', key: entry.key, value: encodeBlock(block) }]);
    };
    await assert.rejects(removeRange(world.ipam, 'k'), { code: 'in-use' });
    assert.equal([...world.given().values()].join(), 'live');
    assert.deepEqual(world.problems(), []);
  });
});
