import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { readHistory } from '../../../ipam/query/history.ts';
import { addRange, removeRange } from '../../../ipam/ranges/ranges.ts';
import { historyKeys, historyThatFits, lifetimesKept } from '../../../ipam/records/history-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { release } from '../../../ipam/release/release.ts';
import { BLUE, attachment, historyOf, live, blueWorld } from './history-world.ts';
import { DEL, owner, range, World } from './world.ts';

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
    // Both callers read before either writes.
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
    assert.match(
      unreadable[0]?.reason ?? '',
      /etcd key 'history\/blue\/10\.20\.0\.0\/28\/\d+' holds no JSON/,
    );
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
    const request = { node: 'n', owner: owner('second'), families: [4 as const], requested: [ip] };
    await allocate(agent, request);
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
