import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate, lookup } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { ips, owner, range, World } from './world.ts';

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
    const requested = allocate(agent, {
      node: 'n',
      owner: owner('w'),
      families: [4],
      requested: [parseAddress('10.20.0.1')],
    });
    const results = await Promise.allSettled([ask(agent, 'a'), requested, ask(agent, 'b')]);
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
    await allocate(world.ipam, { node: 'n', owner: owner('b'), families: [4], requested: [first.address] });
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

  test('a range that was drained, active when a block was claimed, and drains again gives nothing', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/27', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    const agent = world.agent();
    await ask(agent, 'a');
    await setRangeState(world.ipam, 'blue', 'draining');
    // It reads its block again now, of a range that drains.
    const attachment = { containerId: 'a', ifname: 'eth0' };
    await release(agent, { node: 'n', attachment, cause: { why: 'del' } });
    await setRangeState(world.ipam, 'blue', 'active');
    await ask(agent, 'b');
    assert.equal(world.blocks().length, 2, 'a block was claimed');
    await setRangeState(world.ipam, 'blue', 'draining');
    await assert.rejects(ask(agent, 'late'), { code: 'exhausted', message: /blue \(draining\)/ });
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

  test('a request behind a transaction that etcd did not answer waits for no other', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22'));
    const agent = world.agent();
    await ask(agent, 'first');
    const outcomes = async (tookMs: number): Promise<string[]> => {
      let isFirst = true;
      world.store.before = (request) => {
        if (!isFirst || request !== 'commit') return Promise.resolve();
        isFirst = false;
        world.now += tookMs;
        return Promise.reject(new IpamError('store-unreachable', 'etcd did not answer'));
      };
      const results = await Promise.allSettled([ask(agent, 'a'), ask(agent, 'b')]);
      return results.map((each) =>
        each.status === 'rejected'
          ? `${(each.reason as IpamError).code} ${String((each.reason as IpamError).uncertain)}`
          : 'given',
      );
    };
    assert.deepEqual(await outcomes(4_990), ['store-unreachable false', 'store-unreachable false']);
    // One that is refused at once says nothing of the next.
    assert.deepEqual(await outcomes(10), ['store-unreachable false', 'given']);
    assert.deepEqual(world.problems(), []);
  });
});
