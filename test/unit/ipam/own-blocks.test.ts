import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatAddress, formatCidr, parseAddress } from '../../../ipam/model/address.ts';
import { hasSlotsOf } from '../../../ipam/model/block.ts';
import { ruleHolder, ruleOf } from '../../../ipam/model/holder.ts';
import type { Rule } from '../../../ipam/model/rule.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { readOwnAllocations } from '../../../ipam/node/own-allocations.ts';
import { addRange, planRangeRemoval, removeRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { decodeBlock } from '../../../ipam/records/block-record.ts';
import { BLOCKS, blockKey } from '../../../ipam/records/keys.ts';
import { OWN } from '../../../ipam/records/own-record.ts';
import { decodeRule, encodeRule, ruleKey } from '../../../ipam/records/rule-record.ts';
import type { Entry } from '../../../ipam/records/transaction.ts';
import { returnRuleless } from '../../../ipam/release/ruleless.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { Node } from './living-node.ts';
import { end, give, ownedBy, owns, pod } from './pods.ts';
import { ips, owner, range, World } from './world.ts';

async function prepared(...rules: Rule[]): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 30_000 }));
  await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', namedOnly: true, cooldownMs: 30_000 }));
  await addRange(world.ipam, range('fd00::/120', { name: 'six', cooldownMs: 30_000 }));
  for (const each of rules) await addRule(world.ipam, each);
  return world;
}

suite('blocks of a rule', () => {
  test('serve its pods on every node, 16 addresses at a time, and no others', async () => {
    const world = await prepared(owns('web'));
    for (let i = 0; i < 16 - 1; i++) {
      await give(world, `n${i % 5}`, pod(`web-${i}`));
      await give(world, `n${i % 5}`, pod(`other-${i}`));
    }
    const [own = '', ...more] = ownedBy(world, 'web');
    assert.deepEqual(more, [], 'one block for 15 pods on five nodes');
    for (const [ip, container] of world.given())
      assert.equal(
        container.startsWith('c-web'),
        ip.startsWith(own.split('.').slice(0, 3).join('.')) && inCidr(ip, own),
      );
    assert.deepEqual(world.problems(), []);
    const block = world.blocks().find((each) => ruleOf(each) === 'web');
    assert.ok(block && ['n0', 'n1', 'n2', 'n3', 'n4'].every((node) => hasSlotsOf(block, node)));
  });

  test('a full one is followed by one more, and one with room comes first', async () => {
    const world = await prepared(owns('web'));
    const pods = Array.from({ length: 33 }, (_, i) => pod(`web-${i}`));
    for (const [i, each] of pods.entries()) await give(world, `n${i % 3}`, each);
    assert.equal(ownedBy(world, 'web').length, 3);
    for (const each of pods.slice(0, 10)) await end(world, `n${pods.indexOf(each) % 3}`, each);
    world.now += 60_000;
    // On a node that has none of their addresses, and has read nothing.
    for (let i = 0; i < 10; i++) await give(world, 'n9', pod(`web-again-${i}`));
    assert.equal(ownedBy(world, 'web').length, 3);
    assert.deepEqual(world.problems(), []);
  });

  test('two nodes that need one at once claim one together', async () => {
    const world = await prepared(owns('web'));
    const nodes = Array.from({ length: 8 }, (_, i) => ({ name: `n${i}`, ipam: world.agent() }));
    await Promise.all(
      nodes.flatMap(({ name, ipam }) => [
        give({ ipam }, name, pod(`web-${name}-a`)),
        give({ ipam }, name, pod(`web-${name}-b`)),
      ]),
    );
    assert.equal(world.given().size, 16);
    assert.ok(ownedBy(world, 'web').length <= 2, ownedBy(world, 'web').join());
    assert.deepEqual(world.problems(), []);
  });

  test('an agent whose cache is old gets none that another node gave meanwhile', async () => {
    const world = await prepared(owns('web'));
    const [one, two] = [{ ipam: world.agent() }, { ipam: world.agent() }];
    for (let i = 0; i < 20; i++) {
      await give(one, 'n1', pod(`web-1-${i}`));
      await give(two, 'n2', pod(`web-2-${i}`));
    }
    assert.equal(world.given().size, 40);
    assert.deepEqual(world.problems(), []);
    assert.equal(ownedBy(world, 'web').length, 3);
  });

  test('both families, of ranges that the rule names', async () => {
    const world = await prepared(owns('web', { ranges: ['red', 'six'] }));
    const allocations = await give(world, 'n1', pod('web-1'), { families: [4, 6] });
    assert.deepEqual(
      allocations.map(({ range: of, rule: by }) => [of.name, by]),
      [
        ['red', 'web'],
        ['six', 'web'],
      ],
    );
    assert.equal(ownedBy(world, 'web').length, 2);
    // Asked twice, done once.
    const again = await give(world, 'n1', pod('web-1'), { families: [4, 6] });
    assert.deepEqual(ips(again), ips(allocations));
    assert.deepEqual(await end(world, 'n1', pod('web-1')), ips(allocations));
    assert.deepEqual((await readNodeBlocks(world.store, 'n1')).guests, []);
    assert.deepEqual(world.problems(), []);
  });

  test('keep addresses too, for pods that move', async () => {
    const world = await prepared(owns('web', { keep: {} }));
    const before = ips(await give(world, 'n1', pod('web-0')));
    await end(world, 'n1', pod('web-0'));
    const after = await give(world, 'n2', owner('again', { podNamespace: 'shop', podName: 'web-0' }));
    assert.deepEqual(ips(after), before);
    assert.deepEqual(world.problems(), []);
  });

  test('a requested address: of an own block, of a free one, not of a node, nor for others', async () => {
    const world = await prepared(owns('web'));
    await give(world, 'n1', pod('web-0'));
    const [own = ''] = ownedBy(world, 'web');
    const last = lastOf(own);
    const ask = (node: string, name: string, ip: string): Promise<Allocation[]> =>
      give(world, node, pod(name), { requested: [parseAddress(ip)] });
    await assert.rejects(ask('n1', 'other', last), {
      code: 'taken',
      message: new RegExp(`in block ${own.replace('.', '\\.')}, which rule 'web' holds`),
    });
    assert.deepEqual(ips(await ask('n2', 'web-1', last)), [last]);
    await assert.rejects(ask('n3', 'web-2', last), { code: 'taken', message: /given to pod shop\/web-1/ });
    const [node] = await give(world, 'n3', pod('other-1'));
    assert.ok(node);
    const beside = lastOf(formatCidr(node.block));
    await assert.rejects(ask('n3', 'web-2', beside), { code: 'taken', message: /node 'n3' holds/ });
    assert.deepEqual(world.problems(), []);
  });

  test('a full range is told with the rule', async () => {
    const world = await prepared(owns('web', { ranges: ['red'] }));
    for (let i = 0; i < 254; i++) await give(world, `n${i % 7}`, pod(`web-${i}`));
    await assert.rejects(give(world, 'n1', pod('web-x')), {
      code: 'exhausted',
      message: /by rule 'web'.*red .*full/,
    });
    assert.deepEqual(world.problems(), []);
  });

  test('of a range that drains give nothing, and go back with it', async () => {
    const world = await prepared(owns('web'));
    const [first] = await give(world, 'n1', pod('web-0'));
    assert.ok(first);
    await addRange(world.ipam, range('10.40.0.0/24', { name: 'green', cooldownMs: 0 }));
    await setRangeState(world.ipam, 'blue', 'draining');
    const [next] = await give(world, 'n1', pod('web-1'));
    assert.equal(next?.range.name, 'green');
    await assert.rejects(planRangeRemoval(world.ipam, 'blue'), { code: 'in-use', message: /on n1/ });
    await end(world, 'n1', pod('web-0'));
    world.now += 60_000;
    await removeRange(world.ipam, 'blue');
    assert.deepEqual(world.problems(), []);
    assert.equal(ownedBy(world, 'web').length, 1);
  });

  test('of a rule that is gone go back when they are idle, and not before', async () => {
    const world = await prepared(owns('web'));
    await give(world, 'n1', pod('web-0'));
    const [own = ''] = ownedBy(world, 'web');
    assert.deepEqual(await returnRuleless(world.ipam), { returned: [], left: [] });
    await removeRule(world.ipam, 'web');
    const [ordinary] = await give(world, 'n1', pod('web-1'));
    assert.equal(ordinary?.rule, undefined, 'nothing more is given out of it');
    assert.deepEqual(await returnRuleless(world.ipam), { returned: [], left: [own] });
    await end(world, 'n1', pod('web-0'));
    assert.deepEqual(await returnRuleless(world.ipam), { returned: [], left: [own] });
    world.now += 60_000;
    assert.deepEqual(await returnRuleless(world.ipam, true), { returned: [own], left: [] });
    assert.deepEqual(ownedBy(world, 'web'), [own]);
    assert.deepEqual(await returnRuleless(world.ipam), { returned: [own], left: [] });
    assert.deepEqual(ownedBy(world, 'web'), []);
    assert.deepEqual(world.problems(), []);
  });

  test('a record that cannot be read harms nobody else', async () => {
    const world = await prepared(owns('web'));
    await give(world, 'n1', pod('web-0'));
    const key = [...world.store.entries.keys()].find((each) => each.startsWith(BLOCKS)) ?? '';
    const room = [...world.store.entries.keys()].find((each) => each.startsWith(OWN)) ?? '';
    for (const broken of [key, room]) {
      const before = world.store.entries.get(broken);
      assert.ok(before);
      world.store.entries.set(broken, { ...before, value: '{' });
      await give(world, 'n2', pod(`web-${broken.length}`));
      assert.equal(world.store.entries.get(broken)?.value, '{');
      world.store.entries.set(broken, before);
    }
  });
});

suite('an etcd that has forgotten own blocks', () => {
  for (const keepsRule of [true, false])
    test(`gets them back as the rule's, of every node (${keepsRule ? 'the rule is there' : 'emptied'})`, async () => {
      const world = await prepared(owns('web'));
      const nodes = ['a', 'b', 'c'].map((name) => new Node(world, name));
      const before = new Map(world.store.entries);
      const start = async (node: Node, name: string): Promise<void> => {
        for (const each of await give(node, node.name, pod(name))) node.carry(each);
      };
      for (let i = 0; i < 9; i++) for (const node of nodes) await start(node, `web-${node.name}${i}`);
      world.store.entries.clear();
      for (const [key, entry] of before)
        if (keepsRule || key.startsWith('ranges/')) world.store.entries.set(key, entry);
      for (const node of nodes) await readOwnAllocations(node.ipam, node.name);
      assert.deepEqual(
        nodes.flatMap(({ told }) => told.flatMap(({ conflicts, setAside }) => [...conflicts, ...setAside])),
        [],
      );
      assert.equal(world.given().size, 27);
      assert.deepEqual(
        world.blocks().map(({ node }) => node),
        [ruleHolder('web'), ruleHolder('web')],
      );
      assert.deepEqual(world.problems(), []);
      await give(world, 'a', pod('other'));
      assert.equal(world.blocks().length, 3, 'another pod gets none of them');
    });
});

suite('records of own blocks', () => {
  test('an older program refuses the rule and the block', async () => {
    const world = await prepared(owns('web'));
    const [key, value] = [ruleKey(owns('web')), world.store.entries.get(ruleKey(owns('web')))?.value ?? ''];
    assert.equal((JSON.parse(value) as { v: number }).v, 3);
    const read = decodeRule(key, value);
    assert.equal(read.ownBlocks, true);
    assert.equal(encodeRule(read), value);
    const [allocation] = await give(world, 'n1', pod('web-0'));
    assert.ok(allocation);
    const at = blockKey(allocation.range.name, allocation.block);
    const text = world.store.entries.get(at)?.value ?? '';
    assert.equal((JSON.parse(text) as { v: number }).v, 2);
    await end(world, 'n1', pod('web-0'));
    assert.equal((JSON.parse(world.store.entries.get(at)?.value ?? '') as { v: number }).v, 2);
    assert.equal(decodeBlock(at, text).node, 'rule:web');
  });

  test('a used slot without its node is refused: nobody would know whose it is', async () => {
    const world = await prepared(owns('web'));
    await give(world, 'n1', pod('web-0'));
    const entry = [...world.store.entries.values()].find(({ key }) => key.startsWith(BLOCKS)) as Entry;
    world.store.entries.set(entry.key, { ...entry, value: entry.value.replace('"node":"n1",', '') });
    assert.match(world.problems().join(), /has no node, and a rule holds the block/);
  });
});

function inCidr(ip: string, cidr: string): boolean {
  const [base = ''] = cidr.split('/');
  const offset = Number(parseAddress(ip).value - parseAddress(base).value);
  return offset >= 0 && offset < 16;
}

function lastOf(cidr: string): string {
  const base = parseAddress(cidr.split('/')[0] ?? '');
  return formatAddress({ ...base, value: base.value + 14n });
}
