import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, releaseCount, releaseSlot, takeSlot } from '../../../ipam/model/block.ts';
import { RELEASE_REASONS, type Lifetime, type ReleaseCause } from '../../../ipam/model/lifetime.ts';
import { blockAt, pickBlock } from '../../../ipam/model/range.ts';
import { readHistory } from '../../../ipam/query/history.ts';
import { addRange, removeRange } from '../../../ipam/ranges/ranges.ts';
import {
  decodeLifetime,
  firstSequence,
  historyKeys,
  historyOfBlock,
  historyThatFits,
  KEPT_PER_ADDRESS,
  lifetimesKept,
  recordLifetime,
} from '../../../ipam/records/history-record.ts';
import { HISTORY } from '../../../ipam/records/keys.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { release } from '../../../ipam/release/release.ts';
import { DEL, owner, range, World } from './world.ts';

const BLUE = range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 });
const attachment = (containerId: string): { containerId: string; ifname: string } => ({
  containerId,
  ifname: 'eth0',
});
const historyOf = (world: World): Map<string, string> =>
  new Map(
    [...world.store.entries.values()]
      .filter(({ key }) => key.startsWith(HISTORY))
      .map(({ key, value }) => [key, value]),
  );
/** One pod after the other, each with an address of its own for a second. */
const live = async (world: World, node: string, id: string, cause: ReleaseCause = DEL): Promise<string> => {
  const [given] = await allocate(world.ipam, { node, owner: owner(id), families: [4] });
  world.now += 1_000;
  await release(world.ipam, { node, attachment: attachment(id), cause });
  return formatAddress(given?.address ?? assert.fail());
};
const blueWorld = async (more: Parameters<typeof range>[1] = {}): Promise<World> => {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0, ...more }));
  return world;
};

suite('the record of a lifetime', () => {
  const causes: fc.Arbitrary<ReleaseCause> = fc.oneof(
    fc.record(
      {
        why: fc.constantFrom(...RELEASE_REASONS.filter((why) => why !== 'conflict')),
        detail: fc.string({ minLength: 1 }),
        by: fc.string({ minLength: 1 }),
      },
      { requiredKeys: ['why'], noNullPrototype: true },
    ),
    fc.constant({ why: 'conflict' as const, conflictMac: '02:00:00:00:00:99' }),
  );
  const lifetimes: fc.Arbitrary<Lifetime> = fc.record(
    {
      address: fc.nat(255).map((n) => parseAddress(`10.20.0.${n}`)),
      node: fc.string({ minLength: 1 }),
      owner: fc.record(
        {
          containerId: fc.string({ minLength: 1 }),
          ifname: fc.string({ minLength: 1 }),
          network: fc.string({ minLength: 1 }),
          podNamespace: fc.string({ minLength: 1 }),
          podName: fc.string({ minLength: 1 }),
          podUid: fc.string({ minLength: 1 }),
        },
        { requiredKeys: ['containerId', 'ifname', 'network'], noNullPrototype: true },
      ),
      allocatedAt: fc.nat(2e12),
      releasedAt: fc.nat(2e12),
      cause: causes,
    },
    { noNullPrototype: true },
  );
  const written = (lifetime: Lifetime, sequence = 2): { key: string; value: string } =>
    recordLifetime(BLUE, newBlock(BLUE, blockAt(BLUE, lifetime.address), 'n', 0, sequence), lifetime);

  test('is read as it was written, below its block, at a place of the ring', () => {
    fc.assert(
      fc.property(lifetimes, fc.nat(1e6), (lifetime, sequence) => {
        const { key, value } = written(lifetime, sequence);
        assert.ok(historyKeys(BLUE, blockAt(BLUE, lifetime.address)).includes(key), key);
        assert.deepEqual(decodeLifetime(BLUE, key, value), lifetime);
      }),
    );
  });

  const sample: Lifetime = {
    address: parseAddress('10.20.0.17'),
    node: 'node-1',
    owner: owner('c'),
    allocatedAt: 0,
    releasedAt: 1,
    cause: DEL,
  };

  test('does not hold what only the living need', () => {
    assert.equal(
      written(sample).value,
      '{"v":1,"ip":"10.20.0.17","node":"node-1","owner":{"containerId":"c","ifname":"eth0","network":"cell"},' +
        '"allocatedAt":"1970-01-01T00:00:00.000Z","releasedAt":"1970-01-01T00:00:00.001Z","why":"del"}',
    );
  });

  for (const [what, change, message] of [
    ['another version', { v: 2 }, /key 'v' is 2: expected 1/],
    ['an unknown reason', { why: 'because' }, /key 'why' is "because"/],
    ['another address', { ip: '10.20.0.99' }, /holds a lifetime of 10\.20\.0\.99, which is of another block/],
    ['an address outside', { ip: '10.99.0.1' }, /holds a lifetime of 10\.99\.0\.1/],
    ['no address', { ip: 'x' }, /ip 'x'/],
    ['a conflict without its MAC', { why: 'conflict' }, /'conflictMac' is missing/],
    ['a MAC without a conflict', { conflictMac: 'x' }, /'why' is "del"/],
    ['no time', { releasedAt: 'noon' }, /'releasedAt' is "noon"/],
  ] as const) {
    test(`with ${what} is refused by key and value`, () => {
      const { key, value } = written(sample);
      const broken = JSON.stringify({ ...(JSON.parse(value) as object), ...change });
      const expected = { code: 'corrupt-record', message: new RegExp(`etcd key '${key}'.*`) };
      assert.throws(() => decodeLifetime(BLUE, key, broken), expected);
      assert.throws(() => decodeLifetime(BLUE, key, broken), { message });
    });
  }

  test('at a place that no ring has is refused', () => {
    const { key, value } = written(sample);
    const beyond = key.replace(/\d+$/, String(lifetimesKept(BLUE)));
    assert.throws(() => decodeLifetime(BLUE, beyond, value), { code: 'corrupt-record' });
  });

  test('of a range larger than a /16 shares its ring, so that no range has unlimited keys', () => {
    const six = range('fd00:20::/64', { name: 'six' });
    const at = (text: string): string => historyOfBlock(six, blockAt(six, parseAddress(text)));
    assert.equal(at('fd00:20::12'), 'history/six/fd00:20::10/124/');
    assert.equal(at('fd00:20::1:2'), 'history/six/fd00:20::10/124/');
    // Blocks are picked by 53 random bits of 60: those of a cluster still have rings of their own, but for few.
    const { random } = new World(7).ipam.effects;
    const picked = Array.from({ length: 1_000 }, () => pickBlock(six, new Set(), random()) ?? assert.fail());
    const rings = new Set(picked.map((block) => historyOfBlock(six, block)));
    assert.ok(rings.size > 800, `${rings.size} rings`);
    const sixteen = range('10.0.0.0/16', { name: 'r' });
    assert.equal(historyOfBlock(sixteen, parseCidr('10.0.255.240/28')), 'history/r/10.0.255.240/28/');
  });
});

suite('the ring of a block', () => {
  test('its place follows from the number of releases, however takes and releases mix', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(15), { maxLength: 200 }), (picks) => {
        let block = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'n', 0);
        let releases = 0;
        for (const index of picks) {
          const slot = block.slots[index] ?? assert.fail();
          if (slot.state !== 'used') {
            block = takeSlot(block, index, owner(`c${index}`), 0).block;
            continue;
          }
          const expected = { ...attachment(`c${index}`), sequence: slot.sequence };
          const result = releaseSlot(block, parseAddress(`10.20.0.${16 + index}`), expected, 1, DEL);
          assert.ok(result.outcome === 'released');
          block = result.block;
          releases++;
        }
        assert.equal(releaseCount(block), releases);
      }),
    );
  });

  test('never exceeds its bound, and keeps the newest, also of a block that is given back and claimed by another', async () => {
    const steps = fc.array(
      fc.record({
        node: fc.constantFrom('n1', 'n2'),
        act: fc.constantFrom('give', 'give', 'free', 'free', 'return'),
        id: fc.nat(4),
      }),
      { minLength: 40, maxLength: 120 },
    );
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1 }), async (all, seed) => {
        const world = new World(seed);
        // Two blocks of four: six addresses, and rings of eight.
        await addRange(world.ipam, range('10.20.0.0/29', { name: 'blue', cooldownMs: 0, blockSize: 4 }));
        const model = new Map<string, string[]>();
        for (const { node, act, id } of all) {
          world.now += 1_000;
          const containerId = `${node}-${id}`;
          if (act === 'give') {
            await allocate(world.ipam, { node, owner: owner(containerId), families: [4] }).catch(
              () => undefined,
            );
          } else if (act === 'free') {
            const freed = await release(world.ipam, {
              node,
              attachment: attachment(containerId),
              cause: DEL,
            });
            for (const ip of freed) {
              const block = formatCidr(blockAt(range('10.20.0.0/29', { blockSize: 4 }), parseAddress(ip)));
              model.set(block, [...(model.get(block) ?? []), `${ip} ${containerId} ${world.now}`]);
            }
          } else {
            const { idle } = await returnIdle(world.ipam, node, new Set());
            await returnIdle(world.ipam, node, idle);
          }
          checkRings(world, model);
        }
      }),
      { numRuns: 60 },
    );
  });

  /** What is kept of each block is what was released last. */
  function checkRings(world: World, model: ReadonlyMap<string, readonly string[]>): void {
    const blue = range('10.20.0.0/29', { name: 'blue', blockSize: 4 });
    const kept = new Map<string, string[]>();
    for (const [key, value] of historyOf(world)) {
      const { address, owner: who, releasedAt } = decodeLifetime(blue, key, value);
      const block = formatCidr(blockAt(blue, address));
      kept.set(block, [
        ...(kept.get(block) ?? []),
        `${formatAddress(address)} ${who.containerId} ${releasedAt}`,
      ]);
    }
    for (const [block, lifetimes] of model) {
      const newest = lifetimes.slice(-4 * KEPT_PER_ADDRESS);
      assert.deepEqual(kept.get(block)?.sort(), [...newest].sort());
    }
    assert.equal(kept.size, model.size);
  }

  test('goes on after its newest entry when the block is claimed again, also after several of one transaction', () => {
    const block = parseCidr('10.20.0.16/28');
    const keys = historyKeys(BLUE, block);
    const entry = (place: number, revision: number): { key: string; value: string; revision: string } => ({
      key: keys[place] ?? assert.fail(),
      value: '',
      revision: `${revision}`,
    });
    const n = keys.length;
    assert.equal(firstSequence(BLUE, []), 0);
    assert.equal(firstSequence(BLUE, [entry(0, 5), entry(1, 9), entry(2, 7)]), 4);
    assert.equal(firstSequence(BLUE, [entry(n - 2, 8), entry(n - 1, 9), entry(0, 9), entry(1, 7)]), 2);
    assert.equal(firstSequence(BLUE, [entry(n - 1, 9)]), 2 * n);
    assert.equal(
      firstSequence(
        BLUE,
        keys.map((_, i) => entry(i, 9)),
      ),
      0,
    );
  });
});

suite('history and the change that it tells of', () => {
  test('a stray key in the ring of a block spoils neither its claim nor its addresses', async () => {
    for (const stray of ['1.25', '1e300', '-7', 'x', '99']) {
      const world = new World();
      await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
      const [first = ''] = historyKeys(range('10.20.0.0/28', { name: 'blue' }), parseCidr('10.20.0.0/28'));
      await world.store.commit([], [put(first.replace(/0$/, stray), '{}')]);
      await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4] });
      await release(world.ipam, { node: 'n', attachment: attachment('a'), cause: DEL });
      await allocate(world.ipam, { node: 'n', owner: owner('b'), families: [4] });
      await allocate(world.ipam, { node: 'n', owner: owner('c'), families: [4] });
      assert.deepEqual(world.problems(), [], stray);
      assert.equal(world.given().size, 2);
    }
  });

  test('an ADD writes none, a release one in its own transaction', async () => {
    const world = await blueWorld();
    await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4] });
    assert.equal(historyOf(world).size, 0);
    const before = world.store.revision;
    await release(world.ipam, { node: 'n', attachment: attachment('a'), cause: DEL });
    assert.equal(world.store.revision, before + 1n);
    const revisions = new Set(
      [...world.store.entries.values()]
        .filter(({ key }) => /^(history|blocks)\//.test(key))
        .map((entry) => entry.revision),
    );
    assert.deepEqual([...revisions], [String(world.store.revision)]);
    assert.equal(historyOf(world).size, 1);
  });

  test('both families of an attachment end in one transaction', async () => {
    const world = await blueWorld();
    await addRange(world.ipam, range('fd00::/64', { name: 'six' }));
    await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4, 6] });
    const before = world.store.revision;
    await release(world.ipam, { node: 'n', attachment: attachment('a'), cause: DEL });
    assert.equal(world.store.revision, before + 1n);
    assert.equal(historyOf(world).size, 2);
  });

  test('a lost race writes none: of two that release the same, one is told', async () => {
    const world = await blueWorld();
    const [given] = await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4] });
    const { address, slot } = given ?? assert.fail();
    const expected = { ...attachment('a'), sequence: slot.sequence };
    // Both have read before either writes.
    let commits = 0;
    let go: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (go = resolve));
    world.store.before = async (request) => {
      if (request !== 'commit') return;
      if (++commits >= 2) go();
      await both;
    };
    const outcomes = await Promise.all([
      releaseAddress(world.ipam, address, expected, { why: 'operator', by: 'alice@admin-1' }),
      release(world.ipam, { node: 'n', attachment: attachment('a'), cause: DEL }),
    ]);
    assert.ok(commits >= 2);
    assert.equal(historyOf(world).size, 1);
    const [value = ''] = historyOf(world).values();
    const { why } = JSON.parse(value) as { why: string };
    assert.equal(why, outcomes[0] === 'released' ? 'operator' : 'del');
  });

  test('a release of what changed hands, or of nothing, writes none', async () => {
    const world = await blueWorld();
    const [given] = await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4] });
    const { address, slot } = given ?? assert.fail();
    const stale = { ...attachment('a'), sequence: slot.sequence + 1 };
    assert.equal(await releaseAddress(world.ipam, address, stale, DEL), 'changed');
    await release(world.ipam, { node: 'n', attachment: attachment('b'), cause: DEL });
    assert.equal(historyOf(world).size, 0);
  });

  test('of many releases in one transaction each is told, and never two at one place', async () => {
    const world = await blueWorld({ blockSize: 4 });
    const agent = world.agent();
    const ids = Array.from({ length: 10 }, (_, i) => `c${i}`);
    for (const id of ids) await allocate(agent, { node: 'n', owner: owner(id), families: [4] });
    let commits = 0;
    world.store.after = () => {
      commits++;
    };
    await Promise.all(ids.map((id) => release(agent, { node: 'n', attachment: attachment(id), cause: DEL })));
    assert.ok(commits < 4, `${commits} transactions`);
    assert.equal(historyOf(world).size, 10);
  });

  test('is left out where etcd would refuse the transaction for its size, or for two writes of one key', () => {
    const puts = (prefix: string, n: number): ReturnType<typeof put>[] =>
      Array.from({ length: n }, (_, i) => put(`${prefix}${i}`, 'x'));
    assert.equal(historyThatFits(puts('h', 64), puts('b', 64)).length, 64);
    assert.equal(historyThatFits(puts('h', 64), puts('b', 100)).length, 28);
    assert.equal(historyThatFits(puts('h', 1), puts('b', 130)).length, 0);
    assert.deepEqual(historyThatFits([put('h', 'old'), put('h', 'new')], []), [put('h', 'new')]);
  });

  test('a broken one hinders neither a release nor an ADD nor a claim, and is told as such', async () => {
    const world = await blueWorld();
    for (const key of historyKeys(BLUE, parseCidr('10.20.0.0/28')))
      await world.store.commit([], [put(key, 'no JSON')]);
    await world.store.commit([], [put('history/blue/10.20.0.0/28/x', ''), put('history/blue/', '')]);
    const ip = await live(world, 'n', 'a');
    const { past, unreadable } = await readHistory(world.ipam, parseAddress(ip));
    assert.deepEqual(
      past.map((lifetime) => lifetime.owner.containerId),
      ['a'],
    );
    assert.equal(unreadable.length, lifetimesKept(BLUE) - 1);
    assert.match(unreadable[0] ?? '', /etcd key 'history\/blue\/10\.20\.0\.0\/28\/\d+' holds no JSON/);
  });

  test('goes with its range, and only with that', async () => {
    const world = await blueWorld();
    await addRange(world.ipam, range('10.30.0.0/28', { name: 'blue2' }));
    await live(world, 'n', 'a');
    await allocate(world.ipam, { node: 'n', owner: owner('b'), families: [4], ranges: ['blue2'] });
    await release(world.ipam, { node: 'n', attachment: attachment('b'), cause: DEL });
    await removeRange(world.ipam, 'blue');
    assert.deepEqual(
      [...historyOf(world).keys()].map((key) => key.split('/')[1]),
      ['blue2'],
    );
  });
});

suite('reading it', () => {
  test('newest first, with the owner of now, and from when on it is complete', async () => {
    const world = await blueWorld({ blockSize: 4, exclude: ['10.20.0.1-10.20.0.2', '10.20.0.4-10.20.0.14'] });
    const address = parseAddress('10.20.0.3');
    const empty = await readHistory(world.ipam, address);
    assert.deepEqual([empty.past, empty.completeSince, empty.view.state], [[], undefined, 'free']);
    for (let i = 0; i < 7; i++) await live(world, 'n', `c${i}`);
    assert.equal((await readHistory(world.ipam, address)).completeSince, undefined);
    for (let i = 7; i < 20; i++) await live(world, 'n', `c${i}`);
    await allocate(world.ipam, { node: 'n', owner: owner('now'), families: [4] });
    const { view, past, kept, completeSince } = await readHistory(world.ipam, address);
    assert.equal(view.slot?.state === 'used' && view.slot.owner.containerId, 'now');
    assert.deepEqual(
      past.map((lifetime) => lifetime.owner.containerId),
      Array.from({ length: 8 }, (_, i) => `c${19 - i}`),
    );
    assert.equal(kept, 8);
    assert.equal(completeSince, past.at(-1)?.releasedAt);
  });

  test('by the order of writing, though a clock was set back; also of one transaction', async () => {
    const world = await blueWorld({ blockSize: 16 });
    const agent = world.agent();
    const ip = parseAddress(await live(world, 'n', 'first'));
    world.now -= 3_600_000;
    for (let i = 0; i < 13; i++) await allocate(agent, { node: 'n', owner: owner(`x${i}`), families: [4] });
    const wished = { node: 'n', owner: owner('second'), families: [4 as const], requested: [ip] };
    await allocate(agent, wished);
    await release(agent, { node: 'n', attachment: attachment('second'), cause: DEL });
    const { past } = await readHistory(world.ipam, ip);
    assert.deepEqual(
      past.map((lifetime) => lifetime.owner.containerId),
      ['second', 'first'],
    );
  });

  test('an address that a stranger uses says whose MAC it was', async () => {
    const world = await blueWorld();
    const [given] = await allocate(world.ipam, { node: 'n', owner: owner('a'), families: [4] });
    const { address, slot } = given ?? assert.fail();
    const cause = { why: 'conflict', conflictMac: '02:00:00:00:00:99' } as const;
    await releaseAddress(world.ipam, address, { ...attachment('a'), sequence: slot.sequence }, cause);
    const { view, past } = await readHistory(world.ipam, address);
    assert.equal(view.state, 'cooling');
    assert.deepEqual(past[0]?.cause, cause);
  });

  test('an address that no range holds is an error that names the ranges', async () => {
    const world = await blueWorld();
    await assert.rejects(readHistory(world.ipam, parseAddress('10.99.0.1')), { code: 'not-found' });
  });
});
