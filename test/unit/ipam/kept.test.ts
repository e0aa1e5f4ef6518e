import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { expectedOf } from '../../../ipam/model/block.ts';
import type { Rule } from '../../../ipam/model/rule.ts';
import { allocationsOn } from '../../../ipam/node/allocations.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { planRangeRemoval, setRangeState, addRange } from '../../../ipam/ranges/ranges.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { KEPT } from '../../../ipam/records/kept-record.ts';
import { blockKey } from '../../../ipam/records/keys.ts';
import { decodeRule, encodeRule, ruleKey } from '../../../ipam/records/rule-record.ts';
import { handOver } from '../../../ipam/release/hand-over.ts';
import { endKeptAddress, releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { settleKept } from '../../../ipam/rules/keeping.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { rule } from '../../support/rule.ts';
import { Node } from './living-node.ts';
import { end, give, keeps, pod } from './pods.ts';
import { ips, range, World } from './world.ts';

const HOUR = 3_600_000;

async function prepared(...rules: Rule[]): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 30_000 }));
  await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', namedOnly: true }));
  await addRange(world.ipam, range('fd00::/120', { name: 'six' }));
  for (const each of rules) await addRule(world.ipam, each);
  return world;
}

const giveIp = async (...args: Parameters<typeof give>): Promise<string> => ips(await give(...args)).join();

const slotOf = (world: World, ip: string): unknown => {
  const address = parseAddress(ip);
  for (const block of world.blocks()) {
    const slot = block.slots[Number(address.value - block.cidr.base.value)];
    if (slot && block.cidr.base.family === address.family && slot.state !== 'free') return slot.state;
  }
  return 'free';
};
const keptKeys = (world: World): string[] =>
  [...world.store.entries.keys()].filter((key) => key.startsWith(KEPT));

suite('kept addresses', () => {
  test('a pod that is made again gets its own: same node, another node, and back', async () => {
    const world = await prepared(keeps('db'));
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'));
    const other = await giveIp(world, 'n1', pod('db-1', 'c2'));
    for (const [i, node] of ['n1', 'n2', 'n3', 'n1', 'n2'].entries()) {
      const before = i === 0 ? 'c1' : `again-${i - 1}`;
      const at = ['n1', 'n1', 'n2', 'n3', 'n1'][i] ?? '';
      assert.deepEqual(await end(world, at, pod('db-0', before)), [first]);
      assert.equal(slotOf(world, first), 'kept');
      assert.deepEqual(world.problems(), []);
      assert.equal(await giveIp(world, node, pod('db-0', `again-${i}`)), first);
      // Asked twice, done once.
      assert.equal(await giveIp(world, node, pod('db-0', `again-${i}`)), first);
      assert.deepEqual(world.problems(), []);
      const here = allocationsOn(node, await readNodeBlocks(world.store, node));
      assert.ok(here.some(({ address }) => formatAddress(address) === first));
    }
    assert.equal(world.given().get(other), 'c2');
    assert.equal(world.blocks().filter(({ range }) => range === 'blue').length, 1);
  });

  test('nobody else gets it, however many come, and a request for it is refused', async () => {
    const world = await prepared(keeps('db', { pod: 'db-*' }));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    world.now += 365 * 24 * HOUR;
    for (let i = 0; i < 30; i++) assert.notEqual(await giveIp(world, 'n1', pod('web', `w${i}`)), ip);
    await assert.rejects(
      giveIp(world, 'n1', pod('web', 'x'), { requested: [parseAddress(ip)] }),
      /kept for pod shop\/db-0/,
    );
    assert.equal(await giveIp(world, 'n1', pod('db-0', 'c2'), { requested: [parseAddress(ip)] }), ip);
    assert.deepEqual(world.problems(), []);
  });

  test('while the old pod has it the new one waits, and is told where', async () => {
    const world = await prepared(keeps('db'));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'));
    for (const ipam of [world.ipam, world.agent()])
      await assert.rejects(giveIp({ ipam }, 'n2', pod('db-0', 'c2')), (error: Error) => {
        assert.match(error.message, new RegExp(`${ip} is kept for pod shop/db-0.*container c1 on node 'n1'`));
        assert.equal((error as Error & { code?: string }).code, 'still-used');
        return true;
      });
    assert.equal(world.given().size, 1);
    await end(world, 'n1', pod('db-0', 'c1'), { why: 'leaked', by: 'check' });
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c2')), ip);
    // The stale one comes back.
    await assert.rejects(giveIp(world, 'n1', pod('db-0', 'c1')), /container c2 on node 'n2'/);
    assert.deepEqual(await end(world, 'n1', pod('db-0', 'c1')), []);
    assert.equal(world.given().get(ip), 'c2');
    assert.deepEqual(world.problems(), []);
  });

  test('a node that sees its own pod carry it gives it to no other', async () => {
    const world = await prepared(keeps('db'));
    const node = new Node(world, 'n2');
    const [allocation] = await give({ ipam: node.ipam }, 'n2', pod('db-0', 'c1'));
    assert.ok(allocation);
    node.carry(allocation);
    const { slot, address } = allocation;
    await releaseAddress(world.ipam, address, expectedOf(slot), { why: 'leaked' });
    await assert.rejects(giveIp({ ipam: node.ipam }, 'n2', pod('db-0', 'c2')), { code: 'still-used' });
  });

  test('both families stay together, and one that is missing is added', async () => {
    const world = await prepared(keeps('db'));
    const both = { families: [4, 6] as const };
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'), both);
    await end(world, 'n1', pod('db-0', 'c1'));
    assert.equal(keptKeys(world).length, 2);
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c2'), both), first);
    await end(world, 'n2', pod('db-0', 'c2'));
    assert.equal(await giveIp(world, 'n1', pod('db-0', 'c3')), first.split(',')[0]);
    await end(world, 'n1', pod('db-0', 'c3'));
    assert.equal(await giveIp(world, 'n3', pod('db-0', 'c4'), both), first);
    const v4 = await giveIp(world, 'n1', pod('db-1', 'd1'));
    await end(world, 'n1', pod('db-1', 'd1'));
    assert.match(await giveIp(world, 'n2', pod('db-1', 'd2'), both), new RegExp(`^${v4},fd00::`));
    assert.deepEqual(world.problems(), []);
  });

  test('its time ends: it is free then, also for its own pod as long as nobody took it', async () => {
    const world = await prepared(keeps('db', { pod: 'db-*', keep: { forMs: HOUR } }));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    world.now += HOUR + 1;
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c2')), ip);
    await end(world, 'n2', pod('db-0', 'c2'));
    world.now += HOUR + 1;
    const taken = new Set<string>();
    for (let i = 0; i < 16; i++) taken.add(await giveIp(world, 'n1', pod('web', `w${i}`)));
    assert.ok(taken.has(ip));
    assert.deepEqual(keptKeys(world), []);
    assert.notEqual(await giveIp(world, 'n1', pod('db-0', 'c3')), ip);
    assert.deepEqual(world.problems(), []);
  });

  test('a block whose keeping has ended goes back, with its keys', async () => {
    const world = await prepared(keeps('db', { keep: { forMs: HOUR } }));
    const agent = world.agent();
    for (let i = 0; i < 40; i++) await give({ ipam: agent }, 'n1', pod(`db-${i}`, `c${i}`));
    for (let i = 0; i < 40; i++) await end({ ipam: agent }, 'n1', pod(`db-${i}`, `c${i}`));
    const { idle } = await returnIdle(agent, 'n1', new Set());
    assert.deepEqual([...idle], []);
    world.now += HOUR + 1;
    const found = await returnIdle(agent, 'n1', new Set());
    const { returned } = await returnIdle(agent, 'n1', found.idle);
    assert.equal(returned.length, 2);
    assert.equal(
      keptKeys(world).length,
      world.blocks()[0]?.slots.filter(({ state }) => state === 'kept').length,
    );
    assert.deepEqual(world.problems(), []);
  });

  test('an operator ends it; a failed first ADD keeps nothing, a failed later one does', async () => {
    const world = await prepared(keeps('db'));
    const [first] = await give(world, 'n1', pod('db-0', 'c1'));
    assert.ok(first);
    const ip = formatAddress(first.address);
    await end(world, 'n1', pod('db-0', 'c1'), { why: 'undo' });
    assert.equal(slotOf(world, ip), 'released');
    const next = await giveIp(world, 'n1', pod('db-0', 'c2'));
    await end(world, 'n1', pod('db-0', 'c2'));
    world.now += 1;
    await give(world, 'n2', pod('db-0', 'c3'));
    await end(world, 'n2', pod('db-0', 'c3'), { why: 'undo' });
    assert.equal(slotOf(world, next), 'kept');
    const [again] = await give(world, 'n2', pod('db-0', 'c4'));
    assert.ok(again);
    assert.equal(ips([again]).join(), next);
    assert.equal(
      await releaseAddress(world.ipam, again.address, expectedOf(again.slot), { why: 'operator', by: 'me' }),
      'released',
    );
    assert.equal(slotOf(world, next), 'released');
    assert.deepEqual(keptKeys(world), []);
    const other = await giveIp(world, 'n1', pod('db-1', 'd1'));
    await end(world, 'n1', pod('db-1', 'd1'));
    const slot = world
      .blocks()
      .flatMap(({ slots }) => slots)
      .find(({ state }) => state === 'kept');
    assert.ok(slot?.state === 'kept');
    assert.equal(await endKeptAddress(world.ipam, parseAddress(other), slot.sequence - 1), false);
    assert.equal(await endKeptAddress(world.ipam, parseAddress(other), slot.sequence), true);
    assert.deepEqual(world.problems(), []);
  });

  test('a full range says what of it is kept, and by which rules', async () => {
    const world = new World();
    const { ipam } = world;
    await addRange(ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRange(ipam, range('10.30.0.0/28', { name: 'red', namedOnly: true }));
    for (const name of ['db', 'mq']) await addRule(ipam, keeps(name, { pod: `${name}-*` }));
    for (let i = 0; i < 14; i++) await giveIp(world, 'n1', pod(i < 10 ? `db-${i}` : `mq-${i}`, `c${i}`));
    const full = (text: RegExp): Promise<void> =>
      assert.rejects(giveIp(world, 'n1', pod('web', 'w')), { code: 'exhausted', message: text });
    await full(/^[^;]*$/);
    await end(world, 'n1', pod('db-0', 'c0'));
    await full(/; an address of node 'n1' is kept for pods that are gone \(rule 'db'\)/);
    for (const [name, c] of [
      ['db-1', 'c1'],
      ['mq-10', 'c10'],
    ] as const)
      await end(world, 'n1', pod(name, c));
    await full(/; 3 addresses of node 'n1' are kept for pods that are gone \(rules 'db', 'mq'\)/);
    const request = { node: 'n1', families: [4] as const, ranges: ['blue'] };
    await assert.rejects(roomFor(ipam, request), {
      message: /3 addresses of node 'n1' are kept for pods.*'db', 'mq'/,
    });
    await assert.rejects(roomFor(ipam, { ...request, node: 'n2' }), { message: /^[^;]*$/ });
    // Of a range that no new pod has addresses of, nothing is said.
    await setRangeState(ipam, 'blue', 'draining');
    await full(/^[^;]*$/);
  });

  test('where the pod may not have it any more it gets another, and the old one is free', async () => {
    const world = await prepared(keeps('db'));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    await setRangeState(world.ipam, 'blue', 'draining');
    await assert.rejects(giveIp(world, 'n2', pod('db-0', 'c2')), { code: 'exhausted' });
    assert.equal(slotOf(world, ip), 'kept');
    await removeRule(world.ipam, 'db');
    await addRule(world.ipam, keeps('db2', { ranges: ['red'] }));
    for (const node of ['n1', 'n2']) {
      const next = await giveIp(world, node, pod('db-0', `next-${node}`));
      assert.match(next, /^10\.30\./);
      await end(world, node, pod('db-0', `next-${node}`));
    }
    assert.equal(slotOf(world, ip), 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('the same in one block: the old one ends and the new one begins in one transaction', async () => {
    const world = await prepared(keeps('db'));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    const at = world.blocks()[0];
    assert.ok(at);
    const other = formatAddress({ family: 4, value: at.cidr.base.value + 9n });
    const next = await giveIp(world, 'n1', pod('db-0', 'c2'), { requested: [parseAddress(other)] });
    assert.equal(next, other);
    assert.equal(slotOf(world, ip), 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('any pod of the rule takes what is kept, another rule’s pods do not', async () => {
    const world = await prepared(keeps('web', { keep: { anyPod: true } }), keeps('all', { namespace: '*' }));
    const had = [];
    for (let i = 0; i < 5; i++) had.push(await giveIp(world, 'n1', pod(`web-x${i}`, `x${i}`)));
    for (let i = 0; i < 5; i++) await end(world, 'n1', pod(`web-x${i}`, `x${i}`));
    assert.equal(keptKeys(world).length, 5);
    const elsewhere = await giveIp(world, 'n1', pod('p', 'o1', { podNamespace: 'other' }));
    assert.ok(!had.includes(elsewhere));
    const again = [];
    for (let i = 0; i < 5; i++) again.push(await giveIp(world, `n${i + 1}`, pod(`web-y${i}`, `y${i}`)));
    assert.deepEqual(again.sort(), had.sort());
    const more = await giveIp(world, 'n2', pod('web-z', 'z'));
    assert.ok(!had.includes(more));
    assert.deepEqual(world.problems(), []);
  });

  test('many nodes at once: each spare address goes to one pod', async () => {
    const world = await prepared(keeps('web', { keep: { anyPod: true } }));
    const agents = Array.from({ length: 8 }, () => world.agent());
    const start = (generation: string): Promise<string[]> =>
      Promise.all(
        agents.map((ipam, i) => giveIp({ ipam }, `n${i}`, pod(`web-${generation}${i}`, `${generation}${i}`))),
      );
    const first = await start('a');
    await Promise.all(agents.map((ipam, i) => end({ ipam }, `n${i}`, pod(`web-a${i}`, `a${i}`))));
    const second = await start('b');
    assert.deepEqual([...second].sort(), [...first].sort());
    assert.deepEqual(world.problems(), []);
  });

  test('two sandboxes of one pod in one batch: one gets it', async () => {
    const world = await prepared(keeps('db'));
    const ipam = world.agent();
    const results = await Promise.allSettled(
      ['c1', 'c2', 'c3'].map((id) => giveIp({ ipam }, 'n1', pod('db-0', id))),
    );
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected']);
    assert.equal(world.given().size, 1);
    assert.deepEqual(world.problems(), []);
  });
});

suite('rules that keep', () => {
  test('come back as they were, and older programs refuse them and their blocks', async () => {
    const full = keeps('db', { keep: { forMs: HOUR, anyPod: true } });
    const value = encodeRule(full);
    assert.match(value, /^{"v":2,/);
    assert.deepEqual(decodeRule(ruleKey(full), value), full);
    const world = await prepared(keeps('db'));
    await give(world, 'n1', pod('db-0', 'c1'));
    const [block] = world.blocks();
    assert.ok(block);
    const text = encodeBlock(block);
    assert.match(text, /^{"v":2,/);
    assert.deepEqual(decodeBlock(blockKey(block.range, block.cidr), text), block);
    await end(world, 'n1', pod('db-0', 'c1'), { why: 'operator' });
    assert.match(encodeBlock(world.blocks()[0] ?? block), /^{"v":1,/);
  });

  test('bad terms are refused', async () => {
    const world = await prepared();
    await assert.rejects(addRule(world.ipam, keeps('x', { keep: { forMs: 10 } })), /from 1s to 3650d/);
    await assert.rejects(addRule(world.ipam, rule('x', { ranges: [] })), /at least one name of a range/);
    await assert.rejects(addRule(world.ipam, keeps('x', { fallback: true })), /fallback/);
  });

  test('added to pods that run: they keep what they have; removed: it is free', async () => {
    const world = await prepared();
    const had = new Map<string, string>();
    for (let i = 0; i < 20; i++)
      had.set(`db-${i}`, await giveIp(world, `n${i % 3}`, pod(`db-${i}`, `c${i}`)));
    // An earlier sandbox, whose DEL never came.
    await give(world, 'n0', pod('db-0', 'c-old', { podUid: 'uid-c0' }));
    const db = keeps('db', { pod: 'db-*' });
    await addRule(world.ipam, db);
    const nobody = (): Promise<undefined> => Promise.resolve(undefined);
    assert.equal((await settleKept(world.ipam, { name: 'db', rule: db }, nobody)).kept, 20);
    assert.equal((await settleKept(world.ipam, { name: 'db', rule: db }, nobody)).kept, 0);
    assert.deepEqual(world.problems(), []);
    for (let i = 1; i < 20; i++) {
      await end(world, `n${i % 3}`, pod(`db-${i}`, `c${i}`));
      if (i > 10) continue;
      assert.equal(await giveIp(world, 'n5', pod(`db-${i}`, `again-${i}`)), had.get(`db-${i}`));
    }
    await removeRule(world.ipam, 'db');
    assert.equal((await settleKept(world.ipam, { name: 'db', rule: db }, nobody)).ended, 9);
    assert.deepEqual(keptKeys(world), []);
    for (let i = 1; i <= 10; i++) await end(world, 'n5', pod(`db-${i}`, `again-${i}`));
    assert.equal(slotOf(world, had.get('db-3') ?? ''), 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('added, where it asks: who is told of keeps, the others are counted', async () => {
    const world = await prepared();
    await give(world, 'n1', pod('a', 'ca'));
    await give(world, 'n1', pod('b', 'cb'));
    const sets = keeps('sets', { ownerKind: 'StatefulSet' });
    await addRule(world.ipam, sets);
    const { kept, untold } = await settleKept(world.ipam, { name: 'sets', rule: sets }, ({ name }) =>
      Promise.resolve(
        name === 'a' ? { pod: { labels: {}, ownerKind: 'StatefulSet', annotations: {} } } : undefined,
      ),
    );
    assert.deepEqual([kept, untold], [1, 1]);
  });
});

suite('blocks that keep', () => {
  test('stay when nothing else is in them, and a range with them is not removed', async () => {
    const world = await prepared(keeps('db', { ranges: ['red'] }));
    await give(world, 'n1', pod('db-0', 'c1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    await removeRule(world.ipam, 'db');
    await assert.rejects(planRangeRemoval(world.ipam, 'red'), /keeps 1 address for pods that are gone/);
  });

  test('go to another node when theirs is removed, with their guests', async () => {
    const world = await prepared(keeps('db'));
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'));
    const second = await giveIp(world, 'n1', pod('db-1', 'd1'));
    await end(world, 'n1', pod('db-0', 'c1'));
    await giveIp(world, 'n2', pod('db-0', 'c2'));
    const read = () => {
      const [block] = world.blocks();
      const of = world.ranges().find(({ name }) => name === 'blue');
      assert.ok(block && of);
      return { block, of };
    };
    const used = read();
    assert.equal(await handOver(world.ipam, used.of, used.block, 'n2'), false);
    await end(world, 'n1', pod('db-1', 'd1'));
    const now = read();
    assert.equal(await handOver(world.ipam, now.of, used.block, 'n2'), false);
    assert.equal(await handOver(world.ipam, now.of, now.block, 'n2'), true);
    assert.deepEqual(world.problems(), []);
    assert.equal(read().block.node, 'n2');
    assert.deepEqual(await end(world, 'n2', pod('db-0', 'c2')), [first]);
    assert.equal(await giveIp(world, 'n3', pod('db-1', 'd2')), second);
    assert.deepEqual(world.problems(), []);
  });
});

suite('an etcd that was set back', () => {
  test('is told that a pod has its kept address, whatever it says of it', async () => {
    for (const saved of ['used', 'kept'] as const) {
      const world = await prepared(keeps('db'));
      const [a, b] = [new Node(world, 'a'), new Node(world, 'b')];
      const [first] = await give({ ipam: a.ipam }, 'a', pod('db-0', 'c1'));
      assert.ok(first);
      let copy = new Map(world.store.entries);
      await end({ ipam: a.ipam }, 'a', pod('db-0', 'c1'));
      if (saved === 'kept') copy = new Map(world.store.entries);
      world.now += 60_000;
      const [second] = await give({ ipam: b.ipam }, 'b', pod('db-0', 'c2'));
      assert.ok(second);
      b.carry(second);
      world.store.entries.clear();
      for (const [key, entry] of copy) world.store.entries.set(key, entry);
      await give({ ipam: b.ipam }, 'b', pod('other', 'x'));
      assert.equal(world.given().get(formatAddress(first.address)), 'c2', saved);
      assert.deepEqual(world.problems(), []);
      assert.deepEqual(await end({ ipam: b.ipam }, 'b', pod('db-0', 'c2')), ips([first]));
      assert.equal(slotOf(world, formatAddress(first.address)), 'kept');
    }
  });
});
