import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { ruleHolder } from '../../../ipam/model/holder.ts';
import { readOwnAllocations } from '../../../ipam/node/own-allocations.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { nodeKey } from '../../../ipam/records/keys.ts';
import { roomKey } from '../../../ipam/records/own-record.ts';
import { MAX_OPERATIONS } from '../../../ipam/records/history-record.ts';
import { setRange } from '../../../ipam/ranges/set-range.ts';
import { planMerge } from '../../../cnictl/backup/merge.ts';
import { release } from '../../../ipam/release/release.ts';
import { returnRuleless } from '../../../ipam/release/ruleless.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { settleKept } from '../../../ipam/rules/keeping.ts';
import { rule } from '../../support/rule.ts';
import { Node } from './living-node.ts';
import { end, give, ownedBy, owns, pod } from './pods.ts';
import { ips, range, World } from './world.ts';

/** Records how many operations the largest transaction has. */
function bounded(world: World): { most: number } {
  const seen = { most: 0 };
  const commit = world.store.commit.bind(world.store);
  world.store.commit = (guards, writes) => {
    seen.most = Math.max(seen.most, guards.length, writes.length);
    return commit(guards, writes);
  };
  return seen;
}

suite('faults of own blocks', () => {
  test('a requested address in a block that the same batch claims for the node is refused', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    const agent = { ipam: world.agent() };
    const first = end(agent, 'n1', pod('nobody'));
    const results = await Promise.allSettled([
      give(agent, 'n1', pod('other')),
      give(agent, 'n1', pod('web-1'), { requested: [parseAddress('10.20.0.9')] }),
    ]);
    await first;
    const told = results.flatMap((each) => (each.status === 'fulfilled' ? ips(each.value) : []));
    assert.deepEqual([...world.given().keys()].sort(), told.sort());
    assert.deepEqual(world.problems(), []);
  });

  test('a pod that is another rule’s by now gets no address of the first rule’s own block', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: {} }));
    await give(world, 'n1', pod('web-0'));
    await end(world, 'n1', pod('web-0'));
    await addRule(world.ipam, rule('plain', { pod: 'web-0', ranges: ['blue'], keep: {} }));
    const [again] = await give(world, 'n1', pod('web-0', 'again'));
    assert.equal(again?.rule, undefined, 'pod of rule plain has an address of the own block of rule web');
  });

  test('a pod of a rule with own blocks gets one of them, not its kept one of a node’s block', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, rule('plain', { pod: 'web-*', ranges: ['blue'], keep: {} }));
    await give(world, 'n1', pod('web-0'));
    await end(world, 'n1', pod('web-0'));
    await addRule(world.ipam, owns('web', { pod: 'web-0', keep: {} }));
    const [again] = await give(world, 'n1', pod('web-0', 'again'));
    assert.equal(again?.rule, 'web', 'the firewall does not let this address through');
  });

  test('blocks of a range that the rule names no more do not hide those with room', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/20', { name: 'a-old', blockSize: 4, cooldownMs: 0 }));
    await addRange(world.ipam, range('10.30.0.0/28', { name: 'b-new', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { ranges: ['a-old'] }));
    const before = { ipam: world.agent() };
    for (let i = 0; i < 4 * 60; i++) await give(before, 'n0', pod(`web-${i}`));
    for (let i = 0; i < 4 * 60; i++) await end(before, 'n0', pod(`web-${i}`));
    await removeRule(world.ipam, 'web');
    await addRule(world.ipam, owns('web', { ranges: ['b-new'] }));
    await give(world, 'n1', pod('web-a'));
    const failed: string[] = [];
    for (let i = 0; i < 10; i++)
      await give(world, `m${i}`, pod(`web-b${i}`)).catch((error: unknown) => failed.push(String(error)));
    assert.deepEqual(failed, [], '13 addresses of the one block are free');
  });

  test('blocks of a draining range with room do not hide those of another range', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/20', { name: 'a-old', blockSize: 4, cooldownMs: 0 }));
    await addRange(world.ipam, range('10.30.0.0/20', { name: 'b-new', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { ranges: ['a-old', 'b-new'] }));
    const before = { ipam: world.agent() };
    for (let i = 0; i < 4 * 60; i++) await give(before, 'n0', pod(`web-${i}`));
    for (let i = 0; i < 4 * 60; i += 4) await end(before, 'n0', pod(`web-${i}`));
    await setRangeState(world.ipam, 'a-old', 'draining');
    for (let i = 0; i < 12; i++) await give(world, `m${i}`, pod(`web-b${i}`));
    const blocks = ownedBy(world, 'web').filter((cidr) => cidr.startsWith('10.30.'));
    assert.equal(blocks.length, 1, `12 pods: ${blocks.join()}`);
  });

  test('STATUS counts the room of a rule’s own blocks', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    await give(world, 'n1', pod('web-0'));
    await give(world, 'n2', pod('web-1'));
    await roomFor(world.ipam, { node: 'n3', families: [4] });
  });

  test('an index entry that cannot be read is not written over', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    const [first] = await give(world, 'n1', pod('web-0'));
    assert.ok(first);
    const key = nodeKey('n2', first.block);
    world.store.entries.set(key, { key, value: '{', revision: '2' });
    await give(world, 'n2', pod('web-1')).catch(() => undefined);
    assert.equal(world.store.entries.get(key)?.value, '{');
  });

  test('a stale key of a rule that is gone returns no block of a living rule', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    const [first] = await give(world, 'n1', pod('web-0'));
    assert.ok(first);
    await end(world, 'n1', pod('web-0'));
    const stale = roomKey('gone', first.block);
    world.store.entries.set(stale, { key: stale, value: '{"v":1,"range":"blue"}', revision: '2' });
    await returnRuleless(world.ipam);
    assert.equal(ownedBy(world, 'web').length, 1);
  });

  for (const where of ['held', 'elsewhere'])
    test(`ending spares of a draining range stays within what etcd takes (blocks ${where})`, async () => {
      const world = new World();
      await addRange(world.ipam, range('10.20.0.0/22', { name: 'a-old', blockSize: 4, cooldownMs: 0 }));
      await addRange(world.ipam, range('10.30.0.0/22', { name: 'b-new', cooldownMs: 0 }));
      await addRule(world.ipam, owns('web', { ranges: ['a-old', 'b-new'], keep: { anyPod: true } }));
      const count = 300;
      const before = where === 'held' ? { ipam: world.agent() } : world;
      for (let i = 0; i < count; i++) await give(before, where === 'held' ? 'n1' : `k${i}`, pod(`web-${i}`));
      for (let i = 0; i < count; i++)
        if (where === 'elsewhere' || i % 4 > 0)
          await end(before, where === 'held' ? 'n1' : `k${i}`, pod(`web-${i}`));
      await setRangeState(world.ipam, 'a-old', 'draining');
      const seen = bounded(world);
      const agent = { ipam: world.agent() };
      const first = end(agent, 'n1', pod('nobody'));
      await Promise.all(Array.from({ length: 8 }, (_, i) => give(agent, 'n1', pod(`web-x${i}`))));
      await first;
      assert.ok(seen.most <= MAX_OPERATIONS, `${seen.most} operations`);
    });

  test('write-back takes a block over for the rule whose own it was', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    const other = { ipam: world.agent() };
    // etcd of then: n9 held the block, and used nothing of it.
    await give(other, 'n9', pod('other'));
    await end(other, 'n9', pod('other'));
    const then = new Map(world.store.entries);
    world.store.entries.clear();
    world.store.entries.set('ranges/blue', then.get('ranges/blue') as never);
    await addRule(world.ipam, owns('web'));
    const a = new Node(world, 'a');
    for (const each of await give(a, 'a', pod('web-0'))) a.carry(each);
    world.store.entries.clear();
    for (const [key, entry] of then) world.store.entries.set(key, entry);
    await readOwnAllocations(a.ipam, 'a');
    assert.deepEqual(
      world.blocks().map(({ node }) => node),
      [ruleHolder('web')],
    );
  });

  test('write-back of own blocks with kept addresses stays within what etcd takes', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: {} }));
    const a = new Node(world, 'a');
    for (let i = 0; i < 250; i++) for (const each of await give(a, 'a', pod(`web-${i}`))) a.carry(each);
    const keep = [...world.store.entries].filter(([key]) => /^(ranges|rules)\//.test(key));
    world.store.entries.clear();
    for (const [key, entry] of keep) world.store.entries.set(key, entry);
    const seen = bounded(world);
    await readOwnAllocations(a.ipam, 'a');
    assert.ok(seen.most <= MAX_OPERATIONS, `${seen.most} operations`);
    assert.deepEqual(world.problems(), []);
  });

  test('a batch of full size stays within what etcd takes (blocks of 4, both families, kept)', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    await addRange(world.ipam, range('fd00::/118', { name: 'six', blockSize: 4, cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: {} }));
    await addRule(world.ipam, owns('app', { keep: { anyPod: true } }));
    const seen = bounded(world);
    const agent = { ipam: world.agent() };
    for (let round = 0; round < 3; round++) {
      const first = end(agent, 'n1', pod('nobody'));
      await Promise.all(
        Array.from({ length: 80 }, (_, i) =>
          give(agent, 'n1', pod(`${i % 2 ? 'web' : 'app'}-${i}`), { families: [4, 6] }),
        ),
      );
      await first;
      assert.deepEqual(world.problems(), []);
      await Promise.all(
        Array.from({ length: 80 }, (_, i) => end(agent, 'n1', pod(`${i % 2 ? 'web' : 'app'}-${i}`))),
      );
      assert.deepEqual(world.problems(), []);
    }
    assert.ok(seen.most <= MAX_OPERATIONS, `${seen.most} operations`);
  });

  test('an address that a pod has goes to no second one', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/28', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    const agent = { ipam: world.agent() };
    const first = end(agent, 'n1', pod('nobody'));
    const [other] = await Promise.all([
      give(agent, 'n1', pod('other')),
      give(agent, 'n1', pod('web-1'), { requested: [parseAddress('10.20.0.9')] }).catch(() => []),
    ]);
    await first;
    const told = ips(other);
    for (let i = 0; i < 14; i++)
      await give(world, 'n2', pod(`web-2${i}`)).then(
        (more) => assert.notDeepEqual(ips(more), told, 'two pods have one address'),
        () => undefined,
      );
  });

  test('blocks whose addresses are kept for a time make no node claim one more', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/20', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: { forMs: 86_400_000 } }));
    // A Deployment that is rolled out: each pod has a name of its own.
    const before = { ipam: world.agent() };
    for (let i = 0; i < 4 * 60; i++) await give(before, 'n0', pod(`web-${i}`));
    for (let i = 0; i < 4 * 60; i++) await end(before, 'n0', pod(`web-${i}`));
    const many = ownedBy(world, 'web').length;
    for (let i = 0; i < 12; i++) await give(world, `m${i}`, pod(`web-b${i}`));
    assert.equal(ownedBy(world, 'web').length - many, 3, '12 pods need 3 blocks of 4');
  });

  test('blocks whose addresses are kept for a time do not hide those with room', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: { forMs: 86_400_000 } }));
    // 64 blocks: those of both ends have three.
    const before = { ipam: world.agent() };
    for (let i = 0; i < 254; i++) await give(before, 'n0', pod(`web-${i}`));
    for (let i = 0; i < 250; i++) await end(before, 'n0', pod(`web-${i}`));
    // The last four are freed for good.
    for (let i = 250; i < 254; i++)
      await release(world.ipam, {
        ...{ node: 'n0', attachment: { containerId: `c-web-${i}`, ifname: 'eth0' } },
        cause: { why: 'operator', by: 'me' },
      });
    const failed: string[] = [];
    for (let i = 0; i < 4; i++)
      await give(world, `m${i}`, pod(`web-b${i}`)).catch((error: unknown) => failed.push(String(error)));
    assert.deepEqual(failed, [], 'four addresses of the rule are free');
  });

  test('ending spares of a draining range stays within what etcd takes (own blocks elsewhere)', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/22', { name: 'a-old', blockSize: 4, cooldownMs: 0 }));
    await addRange(world.ipam, range('10.30.0.0/22', { name: 'b-new', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { ranges: ['a-old', 'b-new'], keep: { anyPod: true } }));
    const before = { ipam: world.agent() };
    for (let i = 0; i < 400; i++) await give(before, 'k', pod(`web-${i}`));
    for (let i = 0; i < 400; i += 4) await end(before, 'k', pod(`web-${i}`));
    await setRangeState(world.ipam, 'a-old', 'draining');
    const seen = bounded(world);
    const agent = { ipam: world.agent() };
    const first = end(agent, 'n1', pod('nobody'));
    await Promise.all(Array.from({ length: 8 }, (_, i) => give(agent, 'n1', pod(`web-x${i}`))));
    await first;
    assert.ok(seen.most <= MAX_OPERATIONS, `${seen.most} operations`);
  });

  test('an own block that its range excludes while an address rests is returned', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/27', { name: 'blue', cooldownMs: 30_000 }));
    await addRule(world.ipam, owns('web'));
    const [first] = await give(world, 'n1', pod('web-0'));
    assert.ok(first);
    await end(world, 'n1', pod('web-0'));
    const base = first.block.base.value;
    const at = (offset: bigint) => ({ family: 4 as const, value: base + offset });
    const span = { first: at(base % 32n === 0n ? 1n : 0n), last: at(base % 32n === 0n ? 15n : 14n) };
    await setRange(world.ipam, 'blue', { exclude: [span] });
    await removeRule(world.ipam, 'web');
    world.now += 120_000;
    await returnRuleless(world.ipam);
    assert.deepEqual(ownedBy(world, 'web'), [], 'the check returns it');
    await give(world, 'n2', pod('other'));
  });

  test('a restore that merges writes no key of a block with room without the block', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/30', { name: 'blue', blockSize: 4, cooldownMs: 0 }));
    await addRule(world.ipam, owns('web'));
    await give(world, 'n1', pod('web-0'));
    const backup = [...world.store.entries.values()].map(({ key, value }) => ({ key, value }));
    await give(world, 'n1', pod('web-1'));
    const { entries } = world.store;
    const missing = backup.filter(({ key }) => !entries.has(key));
    const foreign = new Set(
      backup.filter(({ key, value }) => entries.get(key)?.value !== value).map(({ key }) => key),
    );
    const plan = planMerge(backup, missing, entries, foreign);
    assert.deepEqual(
      plan.units.flatMap(({ records }) => records.map(({ key }) => key)),
      [],
    );
  });
});

suite('a rule with own blocks and kept addresses, added for pods that live', () => {
  test('does not keep their addresses of nodes’ blocks: restarts complete the lines', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
    const before = await give(world, 'n1', pod('web-0'));
    const web = await addRule(world.ipam, owns('web', { keep: {} }));
    await settleKept(world.ipam, { name: 'web', rule: web }, () => Promise.resolve(undefined));
    // kubectl rollout restart
    await end(world, 'n1', pod('web-0'));
    const [after] = await give(world, 'n1', pod('web-0', 'again'));
    assert.equal(
      after?.rule,
      'web',
      `it has ${ips(before).join()} again, which no line of the firewall lets through`,
    );
  });

  test('a rule that is added again without own blocks takes its pods out of those of before', async () => {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
    await addRule(world.ipam, owns('web', { keep: {} }));
    await give(world, 'n1', pod('web-0'));
    await removeRule(world.ipam, 'web');
    const plain = await addRule(world.ipam, rule('web', { pod: 'web-*', ranges: [], keep: {} }));
    await settleKept(world.ipam, { name: 'web', rule: plain }, () => Promise.resolve(undefined));
    await end(world, 'n1', pod('web-0'));
    const [after] = await give(world, 'n1', pod('web-0', 'again'));
    assert.equal(after?.rule, undefined, '0040: once the rule is gone nothing is given out of them');
  });
});
