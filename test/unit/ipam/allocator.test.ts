import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress, parseCidr } from '../../../ipam/address.ts';
import { newBlock, SET_ASIDE_MS, takeSlot } from '../../../ipam/block.ts';
import { encodeBlock } from '../../../ipam/records.ts';
import { allocate, lookup, release, type Allocation, type Ipam } from '../../../ipam/allocator.ts';
import { IpamError } from '../../../ipam/errors.ts';
import { releaseAddress } from '../../../ipam/inventory.ts';
import { addRange, removeRange, setRangeState } from '../../../ipam/ranges.ts';
import { MAX_ATTEMPTS } from '../../../ipam/retry.ts';
import { claimAhead, returnIdle } from '../../../ipam/stock.ts';
import { roomFor } from '../../../ipam/room.ts';
import { owner, range, World } from './world.ts';

const ips = (allocations: readonly Allocation[]): string[] =>
  allocations.map((each) => formatAddress(each.address));
const give = (
  world: World,
  node: string,
  id: string,
  families: readonly (4 | 6)[] = [4],
): Promise<Allocation[]> => allocate(world.ipam, { node, owner: owner(id), families });

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

suite('a wished address', () => {
  const wish = (world: World, node: string, id: string, ...ips: string[]): Promise<Allocation[]> =>
    allocate(world.ipam, {
      node,
      owner: owner(id, { podNamespace: 'shop', podName: id }),
      families: [4],
      wished: ips.map((ip) => parseAddress(ip)),
    });
  const blue = async (): Promise<World> => {
    const world = new World();
    await addRange(
      world.ipam,
      range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1', exclude: ['10.20.1.0-10.20.1.5'] }),
    );
    return world;
  };

  test('is given from an unclaimed block, which is claimed, and from a block that the node holds', async () => {
    const world = await blue();
    assert.deepEqual(ips(await wish(world, 'n', 'a', '10.20.2.77')), ['10.20.2.77']);
    assert.deepEqual(ips(await wish(world, 'n', 'b', '10.20.2.78')), ['10.20.2.78']);
    assert.equal(world.blocks().length, 1);
    assert.deepEqual(world.problems(), []);
  });

  test('asked again is the same; another wish is refused while it is kept', async () => {
    const world = await blue();
    await wish(world, 'n', 'a', '10.20.2.77');
    assert.deepEqual(ips(await wish(world, 'n', 'a', '10.20.2.77')), ['10.20.2.77']);
    await assert.rejects(wish(world, 'n', 'a', '10.20.2.78'), {
      code: 'conflict',
      message: /has 10\.20\.2\.77 already/,
    });
  });

  const refusals: [what: string, ip: string, code: string, message: RegExp][] = [
    ['outside', '10.99.0.1', 'not-found', /10\.99\.0\.1 is in no range: the ranges are 10\.20\.0\.0\/22/],
    ['the gateway', '10.20.0.1', 'conflict', /10\.20\.0\.1 is reserved in range 'blue'/],
    ['excluded', '10.20.1.3', 'conflict', /is reserved/],
    ["another's", '10.20.2.77', 'taken', /10\.20\.2\.77 is given to pod shop\/first/],
    ['cooling', '10.20.2.78', 'taken', /10\.20\.2\.78 is cooling, free in 30 s/],
    [
      "in another node's block",
      '10.20.3.1',
      'taken',
      /is in block 10\.20\.3\.0\/28, which node 'other' holds/,
    ],
  ];
  for (const [what, ip, code, message] of refusals) {
    test(`is refused when it is ${what}`, async () => {
      const world = await blue();
      await wish(world, 'n', 'first', '10.20.2.77');
      await wish(world, 'n', 'second', '10.20.2.78');
      await release(world.ipam, {
        node: 'n',
        attachment: { containerId: 'second', ifname: 'eth0' },
        cause: { why: 'del' },
      });
      await wish(world, 'other', 'there', '10.20.3.5');
      const { revision } = world.store;
      await assert.rejects(wish(world, 'n', 'late', ip), { code, message });
      assert.equal(world.store.revision, revision);
    });
  }

  test('of a draining range is refused', async () => {
    const world = await blue();
    await setRangeState(world.ipam, 'blue', 'draining');
    await assert.rejects(wish(world, 'n', 'a', '10.20.2.77'), { code: 'conflict', message: /draining/ });
  });

  test('decides the VLAN of both families', async () => {
    const world = new World();
    for (const [name, vlan] of [
      ['a', 100],
      ['b', 200],
    ] as const) {
      await addRange(world.ipam, range(`10.${vlan}.0.0/22`, { name: `${name}4`, vlan }));
      await addRange(world.ipam, range(`fd00:${vlan}::/64`, { name: `${name}6`, vlan }));
    }
    const both = (id: string, ...wished: string[]): Promise<Allocation[]> =>
      allocate(world.ipam, {
        node: 'n',
        owner: owner(id),
        families: [4, 6],
        wished: wished.map((ip) => parseAddress(ip)),
      });
    const [first, second] = await both('x', '10.200.0.9');
    assert.deepEqual([first?.range.name, second?.range.name], ['b4', 'b6']);
    assert.deepEqual(ips(await both('y', '10.100.0.9', 'fd00:100::9')), ['10.100.0.9', 'fd00:100::9']);
    await assert.rejects(both('z', '10.99.0.9'), { code: 'not-found' });
    await assert.rejects(both('z', '10.100.0.10', 'fd00:200::10'), { code: 'conflict' });
    assert.deepEqual(world.problems(), []);
  });

  test('wished by many at once is given to one', async () => {
    const world = await blue();
    world.store.before = () => new Promise((resolve) => setImmediate(resolve));
    const results = await Promise.allSettled(
      ['n1', 'n2', 'n3'].map((node) => wish(world, node, `of-${node}`, '10.20.2.77')),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.deepEqual(world.problems(), []);
  });
});

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

suite('a process that lives on', () => {
  const count = (world: World): Map<string, number> => {
    const requests = new Map<string, number>();
    world.store.before = (request) => {
      requests.set(request, (requests.get(request) ?? 0) + 1);
      return Promise.resolve();
    };
    return requests;
  };
  const ask = (ipam: Ipam, id: string): Promise<Allocation[]> =>
    allocate(ipam, { node: 'n', owner: owner(id), families: [4] });

  test('knows its blocks: an allocation is one write, a release too', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const agent = world.agent();
    await ask(agent, 'first');
    const requests = count(world);
    for (let i = 0; i < 5; i++) await ask(agent, `c${i}`);
    await release(agent, {
      node: 'n',
      attachment: { containerId: 'c0', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    assert.deepEqual([...requests], [['commit', 6]]);
    assert.deepEqual(world.problems(), []);
  });

  test('gathers concurrent callers: 50 at once are a few writes, each with an address of its own', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const agent = world.agent();
    const requests = count(world);
    const given = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(agent, `c${i}`)));
    assert.equal(new Set(given.flatMap(ips)).size, 50);
    assert.equal(world.blocks().length, 4);
    assert.ok((requests.get('commit') ?? 0) <= 3, JSON.stringify([...requests]));
    assert.deepEqual(world.problems(), []);
  });

  test('one of a batch that cannot have what it wishes fails alone', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', gateway: '10.20.0.1' }));
    const agent = world.agent();
    const wished = allocate(agent, {
      node: 'n',
      owner: owner('w'),
      families: [4],
      wished: [parseAddress('10.20.0.1')],
    });
    const results = await Promise.allSettled([ask(agent, 'a'), wished, ask(agent, 'b')]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    const late = await Promise.allSettled(Array.from({ length: 15 }, (_, i) => ask(agent, `c${i}`)));
    assert.equal(late.filter(({ status }) => status === 'fulfilled').length, 11);
    assert.deepEqual(world.problems(), []);
  });

  test('notices what others did: an address released behind its back is not its answer', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { cooldownMs: 0 }));
    const agent = world.agent();
    const [first] = await ask(agent, 'a');
    assert.ok(first);
    await release(world.ipam, {
      node: 'n',
      attachment: { containerId: 'a', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    await allocate(world.ipam, { node: 'n', owner: owner('b'), families: [4], wished: [first.address] });
    const [again] = await ask(agent, 'a');
    assert.notDeepEqual(again?.address, first.address);
    assert.deepEqual(await lookup(agent, 'n', { containerId: 'gone', ifname: 'eth0' }), []);
    assert.deepEqual(world.problems(), []);
  });

  test('a range that is set to draining meanwhile gives nothing more', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue' }));
    const agent = world.agent();
    await ask(agent, 'a');
    await setRangeState(world.ipam, 'blue', 'draining');
    await assert.rejects(ask(agent, 'b'), { code: 'exhausted', message: /blue \(draining\)/ });
  });

  test('callers of one transaction that need several new blocks get one each, down to the last of the range', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(7919 * seed);
      await addRange(world.ipam, range('10.20.0.0/27', { blockSize: 4 }));
      const agent = world.agent();
      const asked = Array.from({ length: 31 }, (_, i) => ask(agent, `c${i}`));
      const results = await Promise.allSettled(asked);
      const told = results.map((each) =>
        each.status === 'rejected'
          ? (each.reason as IpamError).code
          : formatAddress(each.value[0]?.address ?? parseAddress('0.0.0.0')),
      );
      const given = told.filter((each) => each !== 'exhausted');
      assert.equal(new Set(given).size, 30, 'all but network and broadcast, each once');
      assert.deepEqual([...world.given().keys()].sort(), given.sort());
      assert.deepEqual(world.problems(), []);
    }
  });

  test('who has waited in the queue past its time is told so', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const agent = world.agent();
    world.store.before = () => {
      world.now += 6_000;
      return Promise.resolve();
    };
    const results = await Promise.allSettled([ask(agent, 'a'), ...[1, 2].map((i) => ask(agent, `late${i}`))]);
    assert.deepEqual(
      results.map((each) => (each.status === 'rejected' ? (each.reason as IpamError).code : 'given')),
      ['given', 'store-unreachable', 'store-unreachable'],
    );
  });
});

suite('records that do not agree', () => {
  test('a block under another key is refused: its addresses are somebody else’s', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.60.0.0/24', { name: 'k' }));
    await allocate(world.ipam, {
      node: 'n1',
      owner: owner('a'),
      families: [4],
      wished: [parseAddress('10.60.0.17')],
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
    await assert.rejects(give(world, 'n2', 'b'), {
      code: 'corrupt-record',
      message: "etcd key 'blocks/k/10.60.0.32/28' holds the value of 'blocks/k/10.60.0.16/28'",
    });
  });

  test('a range that is not sound is refused by its key and field', async () => {
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
      await assert.rejects(give(world, 'n', 'a'), { code: 'corrupt-record', message });
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
    // After each scan of the removal somebody takes an address, by what he had read before.
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
    assert.equal(world.store.entries.size, 0);
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
    // Between the plan and the draining, the node gives out an address of the block that it holds.
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
      // The second commit is the range's deletion: the first set it to draining.
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

suite('races', () => {
  test('when every commit is lost, the attempts end', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    let commits = 0;
    world.store.commit = () => {
      commits++;
      return Promise.resolve(undefined);
    };
    await assert.rejects(give(world, 'n', 'a'), { code: 'contention' });
    assert.equal(commits, MAX_ATTEMPTS);
  });

  type Step =
    | { kind: 'give'; node: string; id: string; families: (4 | 6)[] }
    | { kind: 'release'; node: string; id: string }
    | { kind: 'stock'; node: string }
    | { kind: 'state'; name: string; state: 'active' | 'draining' }
    | { kind: 'remove'; name: string }
    | { kind: 'add'; name: string; cidr: string };
  const node = fc.constantFrom('n1', 'n2', 'n3');
  const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
  const name = fc.constantFrom('r1', 'r2');
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('give' as const),
        node,
        id,
        families: fc.constantFrom<(4 | 6)[]>([4], [4, 6]),
      }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), node, id }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('stock' as const), node }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('state' as const),
        name,
        state: fc.constantFrom('active' as const, 'draining' as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), name }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Step>(
        { kind: 'add', name: 'r1', cidr: '10.1.0.0/27' },
        { kind: 'add', name: 'r2', cidr: '10.1.0.16/28' },
      ),
    },
  );

  /** Each attachment is one node's: a container ID is never on two. */
  const carryOut = async (
    each: Step,
    given: { id: string; addresses: string[] }[],
    ipam: Ipam,
  ): Promise<void> => {
    switch (each.kind) {
      case 'give':
        given.push({
          id: `${each.node}-${each.id}`,
          addresses: ips(
            await allocate(ipam, {
              node: each.node,
              owner: owner(`${each.node}-${each.id}`),
              families: each.families,
            }),
          ),
        });
        return;
      case 'release':
        await release(ipam, {
          node: each.node,
          attachment: { containerId: `${each.node}-${each.id}`, ifname: 'eth0' },
          cause: { why: 'del' },
        });
        return;
      case 'stock': {
        await claimAhead(ipam, { node: each.node }, 4);
        const { idle } = await returnIdle(ipam, each.node, new Set());
        await returnIdle(ipam, each.node, idle);
        return;
      }
      case 'state':
        await setRangeState(ipam, each.name, each.state);
        return;
      case 'remove':
        await removeRange(ipam, each.name);
        return;
      case 'add':
        await addRange(ipam, range(each.cidr, { name: each.name, blockSize: 8, cooldownMs: 0 }));
        return;
    }
  };

  test('in any interleaving: no double owner, no lost slot, blocks and index agree after every commit', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(step, { minLength: 2, maxLength: 24 }),
        fc.array(fc.nat(2), { minLength: 24, maxLength: 24 }),
        fc.integer({ min: 1, max: 10_000 }),
        async (scheduler, steps, callers, seed) => {
          const world = new World(seed);
          const given: { id: string; addresses: string[] }[] = [];
          await addRange(world.ipam, range('10.1.0.0/27', { name: 'r1', blockSize: 8, cooldownMs: 0 }));
          await addRange(world.ipam, range('fd00::/124', { name: 'six', blockSize: 4, cooldownMs: 0 }));
          world.store.after = () => assert.deepEqual(world.problems(), []);
          // Some are there before, so that releases have something to race for.
          for (const each of ['n1', 'n2']) {
            for (const before of ['a', 'b', 'c']) {
              given.push({
                id: `${each}-${before}`,
                addresses: ips(await give(world, each, `${each}-${before}`)),
              });
            }
          }
          world.store.before = (request) => scheduler.schedule(Promise.resolve(), request);
          // Two agents, which remember and gather, and the plugin by itself, which does neither: all on the same nodes.
          const processes = [world.ipam, world.agent(), world.agent()];
          const running = steps.map((each, i) =>
            carryOut(each, given, processes[callers[i] ?? 0] ?? world.ipam).catch((error: unknown) => {
              // Full, draining, in use or gone ranges are answers; anything else is a fault.
              const expected = ['exhausted', 'in-use', 'not-found', 'conflict'];
              if (!(error instanceof IpamError && expected.includes(error.code))) throw error;
            }),
          );
          await Promise.all([scheduler.waitIdle(), ...running]);
          world.store.before = () => Promise.resolve();
          // What was given and never released is still its own: no other write took it away.
          for (const { id: kept, addresses } of given) {
            if (steps.some((each) => each.kind === 'release' && `${each.node}-${each.id}` === kept)) continue;
            for (const ip of addresses) assert.equal(world.given().get(ip), kept);
          }
          // Nothing is lost: released and added up, each usable address can be given out again.
          for (const containerId of new Set(world.given().values())) {
            await release(world.ipam, {
              node: containerId.slice(0, 2),
              attachment: { containerId, ifname: 'eth0' },
              cause: { why: 'del' },
            });
          }
          assert.equal(world.given().size, 0);
          assert.deepEqual(world.problems(), []);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('20 callers on one node and 4 nodes at once get distinct addresses', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    world.store.before = turns;
    const all = await Promise.all([
      ...Array.from({ length: 20 }, (_, i) => give(world, 'n0', `x${i}`)),
      ...Array.from({ length: 20 }, (_, i) => give(world, `n${(i % 4) + 1}`, `y${i}`)),
    ]);
    assert.equal(new Set(all.flatMap(ips)).size, 40);
    assert.deepEqual(world.problems(), []);
  });
});
