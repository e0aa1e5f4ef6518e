import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { idleBlocks } from '../../../ipam/allocate/warm-blocks.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import {
  formatAddress,
  formatCidr,
  formatSpan,
  parseAddress,
  parseSpan,
} from '../../../ipam/model/address.ts';
import type { RangeEdit } from '../../../ipam/model/edit-range.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { listBlocks, showAddress } from '../../../ipam/query/views.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { planRangeChange, setRange } from '../../../ipam/ranges/set-range.ts';
import { release } from '../../../ipam/release/release.ts';
import { DEL, give, ips, owner, range, World } from './world.ts';

const exclude = (...texts: string[]): RangeEdit => ({ exclude: texts.map((text) => parseSpan(text)) });
const include = (...texts: string[]): RangeEdit => ({ include: texts.map((text) => parseSpan(text)) });
const end = (ipam: Ipam, node: string, id: string): Promise<string[]> =>
  release(ipam, { node, attachment: { containerId: id, ifname: 'eth0' }, cause: DEL });

const held = async (world: World): Promise<Parameters<typeof idleBlocks>[0]> =>
  (await readNodeBlocks(world.store, 'n')).blocks;

/** A world with a range of four addresses a block. */
async function inUse(cooldownMs = 0): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/26', { name: 'blue', blockSize: 4, cooldownMs }));
  return world;
}

suite('a range that changes under pods', () => {
  test('range and claimed blocks change in one transaction, and agree', async () => {
    const world = await inUse();
    const [mine = ''] = ips(await give(world, 'n', 'a'));
    const [block] = world.blocks();
    assert.ok(block);
    const others = block.slots.flatMap((slot, i) =>
      slot.state === 'free' ? [{ family: 4 as const, value: block.cidr.base.value + BigInt(i) }] : [],
    );
    const [other, third] = others.map(formatAddress) as [string, string];
    const { revision } = world.store;
    const planned = await planRangeChange(world.ipam, 'blue', exclude(other));
    assert.equal(world.store.revision, revision, 'a look changes nothing');
    const change = await setRange(world.ipam, 'blue', exclude(other));
    assert.equal(world.store.revision, revision + 1n);
    assert.deepEqual(change, planned);
    assert.deepEqual(change.blocks.changed.map(formatCidr), [formatCidr(block.cidr)]);
    assert.deepEqual(world.problems(), []);
    assert.equal((await showAddress(world.ipam, parseAddress(other))).reservedAs, 'excluded');
    await setRange(world.ipam, 'blue', { ...include(other), ...exclude(third) });
    assert.deepEqual(world.problems(), []);
    assert.equal((await showAddress(world.ipam, parseAddress(other))).state, 'free');
    assert.deepEqual([...world.given().keys()], [mine]);
    const before = world.store.revision;
    assert.deepEqual((await setRange(world.ipam, 'blue', exclude(third))).reserved, []);
    assert.equal(world.store.revision, before, 'what is so already is not written');
  });

  test('an address that a pod has is refused with pod and node; one that rests is not', async () => {
    const world = await inUse(30_000);
    const [mine = ''] = ips(
      await allocate(world.ipam, {
        node: 'n',
        owner: owner('a', { podNamespace: 'shop', podName: 'web-1' }),
        families: [4],
      }),
    );
    const { revision } = world.store;
    for (const ask of [setRange, planRangeChange])
      await assert.rejects(ask(world.ipam, 'blue', exclude(mine)), (error: unknown) => {
        assert.ok(error instanceof IpamError);
        assert.equal(error.code, 'in-use');
        assert.match(error.message, new RegExp(`pod shop/web-1 on node n has ${mine}`));
        assert.match(error.remedy, /Delete the pod: its next one gets another address/);
        return true;
      });
    await assert.rejects(setRange(world.ipam, 'blue', { gateway: parseAddress(mine) }), { code: 'in-use' });
    assert.equal(world.store.revision, revision);
    await end(world.ipam, 'n', 'a');
    await setRange(world.ipam, 'blue', exclude(mine));
    assert.deepEqual(world.problems(), []);
  });

  test('a block whose last address goes is returned, so that room is counted rightly', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    await give(world, 'n', 'a');
    const [block] = world.blocks();
    assert.ok(block);
    await end(world.ipam, 'n', 'a');
    const change = await setRange(world.ipam, 'blue', exclude(formatCidr(block.cidr)));
    assert.deepEqual(change.blocks.returned.map(formatCidr), [formatCidr(block.cidr)]);
    assert.deepEqual([world.blocks(), world.problems()], [[], []]);
    // Each of the three others serves a node.
    for (const node of ['n1', 'n2', 'n3']) await give(world, node, `c-${node}`);
    await assert.rejects(roomFor(world.ipam, { node: 'n4', families: [4] }), { code: 'exhausted' });
  });

  test('a block with an address that rests stays until its node returns it, and rests anew', async () => {
    const world = await inUse(30_000);
    await give(world, 'n', 'a');
    const [block] = world.blocks();
    assert.ok(block);
    await end(world.ipam, 'n', 'a');
    const all = formatCidr(block.cidr);
    assert.deepEqual((await setRange(world.ipam, 'blue', exclude(all))).blocks.returned, []);
    assert.deepEqual(idleBlocks(await held(world), world.now).length, 1, 'the agent returns it');
    world.now += 29_000;
    await setRange(world.ipam, 'blue', include(all));
    assert.deepEqual(idleBlocks(await held(world), world.now), []);
    const [other] = await give(world, 'n', 'b');
    assert.ok(other && formatCidr(other.block) !== all, 'all of it rests');
    assert.deepEqual(world.problems(), []);
  });

  test('a block that is claimed between the look and the write has the new exclusions', async () => {
    const world = await inUse();
    let raced = false;
    world.store.before = async (request) => {
      if (request !== 'commit' || raced) return;
      raced = true;
      for (let i = 0; i < 12; i++) await give(world, `n${i}`, `c${i}`);
    };
    // Some of its addresses are given out meanwhile: these are told, and the range stays.
    const all = exclude('10.20.0.8-10.20.0.55');
    await assert.rejects(setRange(world.ipam, 'blue', all), { code: 'in-use' });
    assert.ok(raced);
    assert.deepEqual(world.problems(), []);
    assert.deepEqual(world.ranges()[0]?.exclude, []);
    raced = false;
    const free = world
      .blocks()
      .flatMap(({ cidr, slots }) =>
        slots.flatMap((slot, i) =>
          slot.state === 'free' ? [formatAddress({ family: 4, value: cidr.base.value + BigInt(i) })] : [],
        ),
      );
    await setRange(world.ipam, 'blue', exclude(...free.slice(0, 20)));
    assert.deepEqual(world.problems(), []);
  });

  test('an agent with a cached range never gives out what was excluded since', async () => {
    const world = await inUse();
    const agent = world.agent();
    const add = (id: string): Promise<string[]> =>
      allocate(agent, { node: 'n', owner: owner(id), families: [4] }).then(ips);
    const [first = ''] = await add('a');
    const [block] = world.blocks();
    assert.ok(block);
    const rest = block.slots.flatMap((slot, i) =>
      slot.state === 'free' ? [formatAddress({ family: 4, value: block.cidr.base.value + BigInt(i) })] : [],
    );
    await setRange(world.ipam, 'blue', exclude(...rest));
    const [second = ''] = await add('b');
    assert.ok(!rest.includes(second) && second !== first, second);
    // What is included again is given out by the same agent, also on request.
    await setRange(world.ipam, 'blue', include(...rest));
    const [wanted = ''] = rest;
    const got = await allocate(agent, {
      node: 'n',
      owner: owner('c'),
      families: [4],
      requested: [parseAddress(wanted)],
    });
    assert.deepEqual(ips(got), [wanted]);
    assert.deepEqual(world.problems(), []);
  });

  test('an ADD whose write meets the change gets another address', async () => {
    const world = await inUse();
    const agent = world.agent();
    await allocate(agent, { node: 'n', owner: owner('a'), families: [4] });
    const { store } = world;
    let chosen = '';
    let raced = false;
    store.before = async (request) => {
      if (request !== 'commit' || raced || chosen === '') return;
      raced = true;
      await setRange(world.ipam, 'blue', exclude(chosen));
    };
    const got = await allocate(
      agent,
      { node: 'n', owner: owner('b'), families: [4] },
      (tentative) => (chosen ||= ips(tentative)[0] ?? ''),
    );
    assert.ok(raced);
    assert.notEqual(ips(got)[0], chosen);
    assert.deepEqual(world.problems(), []);
  });

  test('readers that read ranges and blocks one after the other see sound blocks', async () => {
    const world = await inUse();
    const [mine = ''] = ips(await give(world, 'n', 'a'));
    const [block] = world.blocks();
    assert.ok(block);
    const free = formatAddress({
      family: 4,
      value: block.cidr.base.value + BigInt(block.slots.findIndex(({ state }) => state === 'free')),
    });
    let edits = 0;
    const between = (when: 'get' | 'scan', nth: number): void => {
      let seen = 0;
      world.store.before = async (request) => {
        if (request !== when || ++seen !== nth) return;
        world.store.before = () => Promise.resolve();
        await setRange(world.ipam, 'blue', ++edits % 2 === 1 ? exclude(free) : include(free));
      };
    };
    between('scan', 2);
    assert.deepEqual((await listBlocks(world.ipam)).unreadable, []);
    between('get', 1);
    assert.equal((await showAddress(world.ipam, parseAddress(mine))).state, 'used');
    between('get', 1);
    assert.equal((await showAddress(world.ipam, parseAddress(free))).state, 'reserved');
    assert.equal(edits, 3);
  });

  test('a lost race that was won is no second change', async () => {
    const world = await inUse();
    const { store } = world;
    const commit = store.commit.bind(store);
    store.commit = async (guards, writes) => {
      await commit(guards, writes);
      // The client repeats an unanswered transaction, and meets its own write.
      return undefined;
    };
    const change = await setRange(world.ipam, 'blue', { gateway: parseAddress('10.20.0.1') });
    assert.deepEqual(change.reserved.map(formatSpan), ['10.20.0.1']);
    assert.equal(world.ranges()[0]?.routesChangedAt, world.now);
  });

  test('more blocks than etcd takes in one transaction are refused, and told in parts', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    for (let i = 0; i < 140; i++) await give(world, `n${i}`, `c${i}`);
    const free = (count: number): string[] =>
      world
        .blocks()
        .sort((a, b) => (a.cidr.base.value < b.cidr.base.value ? -1 : 1))
        .slice(0, count)
        .flatMap(({ cidr, slots }) => {
          const i = slots.findIndex(({ state }) => state === 'free');
          return i < 0 ? [] : [formatAddress({ family: 4, value: cidr.base.value + BigInt(i) })];
        });
    const every = free(140);
    const { revision } = world.store;
    await assert.rejects(setRange(world.ipam, 'blue', exclude(...every)), (error: unknown) => {
      assert.ok(error instanceof IpamError);
      assert.match(error.message, /touches 140 claimed blocks, more than etcd takes/);
      assert.match(error.remedy, /first only addresses up to 10\.20\.\d+\.\d+\.$/);
      const [, upTo = ''] = /up to ([\d.]+)\.$/.exec(error.remedy) ?? [];
      every.splice(
        0,
        every.length,
        ...every.filter((ip) => parseAddress(ip).value <= parseAddress(upTo).value),
      );
      return true;
    });
    assert.equal(world.store.revision, revision);
    assert.ok(every.length > 50, `${every.length} blocks in the first part`);
    await setRange(world.ipam, 'blue', exclude(...every));
    assert.deepEqual(world.problems(), []);
  });

  test('two operators, nodes with and without a cache, in any order: records agree after each write', async () => {
    const act = fc.oneof(
      fc.record({ do: fc.constant('give'), node: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ do: fc.constant('end'), node: fc.integer({ min: 0, max: 2 }) }),
      fc.record({
        do: fc.constant('exclude'),
        at: fc.integer({ min: 1, max: 28 }),
        size: fc.integer({ min: 1, max: 6 }),
      }),
      fc.record({
        do: fc.constant('include'),
        at: fc.integer({ min: 1, max: 28 }),
        size: fc.integer({ min: 1, max: 9 }),
      }),
      fc.record({ do: fc.constant('gateway'), at: fc.integer({ min: 0, max: 30 }) }),
    ) as fc.Arbitrary<{ do: string; node?: number; at?: number; size?: number }>;
    const tell = async (
      acts: readonly { do: string; node?: number; at?: number; size?: number }[],
    ): Promise<void> => {
      const world = new World();
      await addRange(world.ipam, range('10.20.0.0/27', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
      const agents = [world.agent(), world.agent(), world.ipam];
      const problems: string[] = [];
      world.store.after = () => void problems.push(...world.problems());
      let made = 0;
      const ended = new Set<number>();
      const one = async ({ do: what, node = 0, at = 0, size = 1 }: (typeof acts)[number]): Promise<void> => {
        const span = `10.20.0.${at}-10.20.0.${Math.min(31, at + size - 1)}`;
        const ipam = agents[node] ?? world.ipam;
        if (what === 'give')
          await allocate(ipam, { node: `n${node}`, owner: owner(`c${made++}-${node}`), families: [4] });
        else if (what === 'exclude') await setRange(world.ipam, 'blue', exclude(span));
        else if (what === 'include') await setRange(world.ipam, 'blue', include(span));
        else if (what === 'gateway')
          await setRange(world.ipam, 'blue', { gateway: at === 0 ? null : parseAddress(`10.20.0.${at}`) });
        else {
          const last = [...Array(made).keys()].reverse().find((n) => !ended.has(n));
          if (last === undefined) return;
          ended.add(last);
          for (const [n, each] of agents.entries()) await end(each, `n${n}`, `c${last}-${n}`);
        }
      };
      // Some at once: they meet in the store.
      for (let i = 0; i < acts.length; i += 3)
        for (const result of await Promise.allSettled(acts.slice(i, i + 3).map(one)))
          if (result.status === 'rejected')
            assert.ok(
              result.reason instanceof IpamError &&
                ['in-use', 'invalid', 'exhausted'].includes(result.reason.code),
              String(result.reason),
            );
      assert.deepEqual(problems, []);
    };
    await fc.assert(fc.asyncProperty(fc.array(act, { minLength: 6, maxLength: 40 }), tell), { numRuns: 60 });
  });
});
