/** What went wrong, or might have, with kept addresses: each found by a reviewer. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { expectedOf } from '../../../ipam/model/block.ts';
import type { Rule } from '../../../ipam/model/rule.ts';
import { sweepIndex } from '../../../ipam/query/node-view.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { KEPT, spareOf } from '../../../ipam/records/kept-record.ts';
import { nodeKey } from '../../../ipam/records/keys.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { settleKept } from '../../../ipam/rules/keeping.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { rule } from '../../support/rule.ts';
import { Node } from './living-node.ts';
import { end, give, keeps, pod } from './pods.ts';
import { ips, range, World } from './world.ts';

const nobody = (): Promise<undefined> => Promise.resolve(undefined);

async function prepared(...rules: Rule[]): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue', vlan: 10, cooldownMs: 30_000 }));
  for (const each of rules) await addRule(world.ipam, each);
  return world;
}
const giveIp = async (...args: Parameters<typeof give>): Promise<string> => ips(await give(...args)).join();
const kept = (world: World): string[] =>
  world
    .blocks()
    .flatMap(({ slots }) => slots.flatMap((slot) => (slot.state === 'kept' ? slot.pod.name : [])));
const keys = (world: World): string[] =>
  [...world.store.entries.keys()].filter((key) => key.startsWith(KEPT));

suite('several requests of one batch', () => {
  test('end kept addresses of one block of another node: each of them ends', async () => {
    const world = await prepared(keeps('db'));
    for (const i of [1, 2, 3]) {
      await giveIp(world, 'n1', pod(`db-${i}`, `c${i}`));
      await end(world, 'n1', pod(`db-${i}`, `c${i}`));
    }
    await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', vlan: 10 }));
    await setRangeState(world.ipam, 'blue', 'draining');
    const ipam = world.agent();
    await Promise.all([1, 2, 3].map((i) => giveIp({ ipam }, 'n2', pod(`db-${i}`, `d${i}`))));
    assert.deepEqual(kept(world), []);
    assert.deepEqual(world.problems(), []);
  });

  test('one ends what another takes a neighbour of', async () => {
    const world = await prepared(keeps('db'));
    for (const i of [0, 1]) {
      await giveIp(world, 'n1', pod(`db-${i}`, `c${i}`));
      await end(world, 'n1', pod(`db-${i}`, `c${i}`));
    }
    await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', vlan: 10 }));
    await addRule(world.ipam, keeps('first', { pod: 'db-0', ranges: ['red'] }));
    const ipam = world.agent();
    const given = await Promise.all([0, 1].map((i) => giveIp({ ipam }, 'n2', pod(`db-${i}`, `d${i}`))));
    assert.match(given[0] ?? '', /^10\.30\./);
    assert.match(given[1] ?? '', /^10\.20\./);
    assert.deepEqual(world.problems(), []);
  });

  test('are more than etcd takes in one transaction: the rest comes in the next', async () => {
    const world = await prepared(keeps('db'));
    await addRange(world.ipam, range('fd00::/112', { name: 'six', vlan: 10 }));
    const both = { families: [4, 6] as const };
    // Each in blocks of a node of its own.
    const count = 32;
    for (let i = 0; i < count; i++) {
      await giveIp(world, `old-${i}`, pod(`db-${i}`, `c${i}`), both);
      await end(world, `old-${i}`, pod(`db-${i}`, `c${i}`));
    }
    const ipam = world.agent();
    const all = Array.from({ length: count }, (_, i) => i);
    await Promise.all(all.map((i) => giveIp({ ipam }, 'new', pod(`db-${i}`, `d${i}`), both)));
    assert.equal(world.given().size, 2 * count);
    await Promise.all(all.map((i) => end({ ipam }, 'new', pod(`db-${i}`, `d${i}`))));
    assert.equal(kept(world).length, 2 * count);
    assert.deepEqual(world.problems(), []);
  });
});

suite('addresses for any pod of a rule', () => {
  const web = keeps('web', { keep: { anyPod: true } });

  test('many pods of one node that are made again at once use the same addresses', async () => {
    const world = await prepared(web);
    const ipam = world.agent();
    const used = new Set<string>();
    for (const generation of ['a', 'b', 'c', 'd']) {
      const all = Array.from({ length: 40 }, (_, i) => pod(`web-${generation}${i}`, `${generation}${i}`));
      for (const ip of await Promise.all(all.map((each) => giveIp({ ipam }, 'n1', each)))) used.add(ip);
      await Promise.all(all.map((each) => end({ ipam }, 'n1', each)));
    }
    assert.equal(used.size, 40);
    assert.equal(keys(world).length, 40);
    assert.deepEqual(world.problems(), []);
  });

  test('of a range that drains end, and hide no others', async () => {
    const world = await prepared(web);
    const first = Array.from({ length: 20 }, (_, i) => pod(`web-a${i}`, `a${i}`));
    for (const each of first) await giveIp(world, 'n1', each);
    for (const each of first) await end(world, 'n1', each);
    await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', vlan: 10 }));
    await setRangeState(world.ipam, 'blue', 'draining');
    const used = new Set<string>();
    for (let i = 0; i < 10; i++) {
      used.add(await giveIp(world, 'n2', pod(`web-b${i}`, `b${i}`)));
      await end(world, 'n2', pod(`web-b${i}`, `b${i}`));
    }
    // Until those of the range that drains have ended.
    assert.ok(used.size <= 3, [...used].join());
    assert.equal(kept(world).length, used.size);
    assert.deepEqual(world.problems(), []);
  });

  test('a key that cannot be read stops no pod', async () => {
    const world = await prepared(web);
    await world.store.commit([], [put(`${spareOf('web', 4)}10.20.0.5`, '{"v":1')]);
    assert.match(await giveIp(world, 'n1', pod('web-1', 'c1')), /^10\.20\./);
  });
});

suite('rules that change', () => {
  test('a narrower rule takes over what the wider one keeps, which then goes', async () => {
    const world = await prepared();
    const wide = keeps('wide', { namespace: '*' });
    const narrow = keeps('narrow');
    await addRule(world.ipam, wide);
    const [one, two] = [
      await giveIp(world, 'n1', pod('db-0', 'c0')),
      await giveIp(world, 'n1', pod('db-1', 'c1')),
    ];
    await end(world, 'n1', pod('db-1', 'c1'));
    await addRule(world.ipam, narrow);
    await settleKept(world.ipam, { name: 'narrow', rule: narrow }, nobody);
    await removeRule(world.ipam, 'wide');
    assert.equal((await settleKept(world.ipam, { name: 'wide', rule: wide }, nobody)).ended, 0);
    await end(world, 'n1', pod('db-0', 'c0'));
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'd0')), one);
    assert.equal(await giveIp(world, 'n2', pod('db-1', 'd1')), two);
    assert.deepEqual(world.problems(), []);
  });

  test('one that does not keep takes over: nothing stays for ever', async () => {
    const world = await prepared(keeps('wide', { namespace: '*' }));
    await giveIp(world, 'n1', pod('db-0', 'c0'));
    await end(world, 'n1', pod('db-0', 'c0'));
    const plain = rule('plain', { ranges: ['blue'] });
    await addRule(world.ipam, plain);
    assert.equal((await settleKept(world.ipam, { name: 'plain', rule: plain }, nobody)).ended, 1);
    assert.deepEqual(keys(world), []);
    await removeRule(world.ipam, 'plain');
    await giveIp(world, 'n1', pod('db-0', 'c1'));
    assert.equal(keys(world).length, 1);
    assert.deepEqual(world.problems(), []);
  });

  test('a sweep of a rule that was added again meanwhile ends nothing', async () => {
    const world = await prepared(keeps('db'));
    await giveIp(world, 'n1', pod('db-0', 'c0'));
    await end(world, 'n1', pod('db-0', 'c0'));
    assert.equal((await settleKept(world.ipam, { name: 'db' }, nobody)).ended, 0);
    assert.deepEqual(kept(world), ['db-0']);
  });
});

suite('time and place', () => {
  test('an address whose keeping ends before its rest still rests', async () => {
    const world = await prepared(keeps('db', { pod: 'db-*', keep: { forMs: 1_000 } }));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c0'));
    await end(world, 'n1', pod('db-0', 'c0'));
    world.now += 2_000;
    const want = { requested: [parseAddress(ip)] };
    await assert.rejects(giveIp(world, 'n1', pod('web', 'w'), want), { code: 'taken' });
    world.now += 30_000;
    assert.equal(await giveIp(world, 'n1', pod('web', 'w'), want), ip);
  });

  test('a clock that was ahead keeps no longer than the rule says', async () => {
    const world = await prepared(keeps('db', { pod: 'db-*', keep: { forMs: 60_000 } }));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c0'));
    world.now += 1_000 * 60_000;
    await end(world, 'n1', pod('db-0', 'c0'));
    world.now -= 999 * 60_000;
    assert.equal(await giveIp(world, 'n1', pod('web', 'w'), { requested: [parseAddress(ip)] }), ip);
  });

  test('a VLAN without the other family: the error names the kept address', async () => {
    const world = await prepared(keeps('db'));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c0'));
    await end(world, 'n1', pod('db-0', 'c0'));
    await addRange(world.ipam, range('10.40.0.0/24', { name: 'green', vlan: 20 }));
    await addRange(world.ipam, range('fd00::/112', { name: 'six', vlan: 20 }));
    const both = { families: [4, 6] as const };
    await assert.rejects(giveIp(world, 'n1', pod('db-0', 'c1'), both), new RegExp(`the pod keeps ${ip} `));
    assert.match(await giveIp(world, 'n1', pod('web', 'w'), both), /^10\.40\..*,fd00::/);
    await removeRule(world.ipam, 'db');
    await addRule(world.ipam, keeps('any', { keep: { anyPod: true } }));
    await addRule(world.ipam, keeps('v4', { namespace: 'x' }));
    assert.match(await giveIp(world, 'n1', pod('web-2', 'w2'), both), /^10\.40\..*,fd00::/);
  });

  test('a clock that is behind gives the address of a living pod to none that comes back', async () => {
    const world = await prepared(keeps('db'));
    const [a, b] = [new Node(world, 'a'), new Node(world, 'b')];
    const [first] = await allocate(a.ipam, { node: 'a', owner: pod('db-0', 'c1'), families: [4] });
    assert.ok(first);
    a.carry(first);
    await releaseAddress(world.ipam, first.address, expectedOf(first.slot), { why: 'leaked' });
    world.now -= 60_000;
    const [second] = await allocate(b.ipam, { node: 'b', owner: pod('db-0', 'c2'), families: [4] });
    assert.ok(second);
    world.now += 120_000;
    await giveIp({ ipam: a.ipam }, 'a', pod('other', 'x'));
    assert.equal(world.given().get(ips([second]).join()), 'c2');
  });

  test('the index of a node that is removed keeps what its pods have as guests', async () => {
    const world = await prepared(keeps('db'));
    await giveIp(world, 'n1', pod('db-0', 'c0'));
    await end(world, 'n1', pod('db-0', 'c0'));
    await giveIp(world, 'n2', pod('db-0', 'c1'));
    const [block] = world.blocks();
    assert.ok(block);
    assert.deepEqual(await sweepIndex(world.ipam, 'n2'), []);
    assert.ok(world.store.entries.has(nodeKey('n2', block.cidr)));
  });
});
