import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { ips, owner, range, World } from './world.ts';

suite('a requested address', () => {
  const wish = (world: World, node: string, id: string, ...ips: string[]): Promise<Allocation[]> =>
    allocate(world.ipam, {
      node,
      owner: owner(id, { podNamespace: 'shop', podName: id }),
      families: [4],
      requested: ips.map((ip) => parseAddress(ip)),
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
    ["in another node's block", '10.20.3.5', 'taken', /is given to pod shop\/there on node 'other'/],
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

  test("is given from another node's block, where it is free, as to a guest", async () => {
    const world = await blue();
    await wish(world, 'other', 'there', '10.20.3.5');
    assert.deepEqual(ips(await wish(world, 'n', 'a', '10.20.3.6')), ['10.20.3.6']);
    assert.deepEqual(ips(await wish(world, 'n', 'b', '10.20.3.7')), ['10.20.3.7']);
    assert.deepEqual([world.blocks().length, world.blocks()[0]?.node], [1, 'other']);
    assert.deepEqual(world.problems(), []);
    const del = (id: string): Promise<string[]> =>
      release(world.ipam, {
        node: 'n',
        attachment: { containerId: id, ifname: 'eth0' },
        cause: { why: 'del' },
      });
    assert.deepEqual([await del('a'), await del('b')], [['10.20.3.6'], ['10.20.3.7']]);
    assert.deepEqual(world.problems(), []);
  });

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
    const both = (id: string, ...requested: string[]): Promise<Allocation[]> =>
      allocate(world.ipam, {
        node: 'n',
        owner: owner(id),
        families: [4, 6],
        requested: requested.map((ip) => parseAddress(ip)),
      });
    const [first, second] = await both('x', '10.200.0.9');
    assert.deepEqual([first?.range.name, second?.range.name], ['b4', 'b6']);
    assert.deepEqual(ips(await both('y', '10.100.0.9', 'fd00:100::9')), ['10.100.0.9', 'fd00:100::9']);
    await assert.rejects(both('z', '10.99.0.9'), { code: 'not-found' });
    await assert.rejects(both('z', '10.100.0.10', 'fd00:200::10'), { code: 'conflict' });
    assert.deepEqual(world.problems(), []);
  });

  test('requested by many at once is given to one', async () => {
    const world = await blue();
    world.store.before = () => new Promise((resolve) => setImmediate(resolve));
    const results = await Promise.allSettled(
      ['n1', 'n2', 'n3'].map((node) => wish(world, node, `of-${node}`, '10.20.2.77')),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.deepEqual(world.problems(), []);
  });
});
