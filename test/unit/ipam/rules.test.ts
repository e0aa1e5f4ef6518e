import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import type { Owner } from '../../../ipam/model/attachment.ts';
import type { Facts, Rule } from '../../../ipam/model/rule.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { readNodeBlocks } from '../../../ipam/node/node-blocks.ts';
import { idleBlocks } from '../../../ipam/allocate/warm-blocks.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { release } from '../../../ipam/release/release.ts';
import { addRange, removeRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { setRange } from '../../../ipam/ranges/set-range.ts';
import { decodeRange, encodeRange } from '../../../ipam/records/range-record.ts';
import { decodeRule, encodeRule, ruleKey, RULES_CHANGED } from '../../../ipam/records/rule-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { readRules } from '../../../ipam/store/rules.ts';
import { rule } from '../../support/rule.ts';
import { DEL, owner, range, World } from './world.ts';

suite('records of rules and of ranges that must be named', () => {
  test('come back as they were; an older program refuses such a range', () => {
    const full = rule('full', {
      ...{ namespace: 'shop-*', pod: 'web-*', podLabels: { app: 'web' }, ownerKind: 'StatefulSet' },
      ...{ namespaceLabels: { team: 'a' }, nodeLabels: { zone: 'b' }, ranges: ['red', 'blue'] },
      ...{ fallback: true, addedAt: 1_000, unknownFields: { later: 1 } },
    });
    assert.equal(ruleKey(full), 'rules/any/shop-*/full');
    assert.deepEqual(decodeRule(ruleKey(full), encodeRule(full)), full);
    assert.throws(() => decodeRule('rules/in/shop/full', encodeRule(full)), { code: 'corrupt-record' });
    const red = range('10.30.0.0/28', { name: 'red', namedOnly: true });
    const value = encodeRange(red);
    assert.match(value, /^{"v":2,/);
    assert.deepEqual(decodeRange('ranges/red', value), red);
    assert.throws(() => decodeRange('ranges/red', value.replace('"v":2', '"v":3')), /reads 2/);
    assert.match(encodeRange(range('10.30.0.0/28', { name: 'red' })), /^{"v":1,/);
  });

  test('a range can change who draws from it', async () => {
    const { ipam } = new World();
    await addRange(ipam, range('10.30.0.0/28', { name: 'red' }));
    const { after: changed } = await setRange(ipam, 'red', { namedOnly: true, cooldownMs: 5_000 });
    assert.deepEqual([changed.namedOnly, changed.cooldownMs, changed.state], [true, 5_000, 'active']);
    assert.equal((await setRange(ipam, 'red', { namedOnly: false })).after.namedOnly, undefined);
    await assert.rejects(setRange(ipam, 'red', { cooldownMs: -1 }), { code: 'invalid' });
    await assert.rejects(setRange(ipam, 'rde', { namedOnly: true }), { code: 'not-found' });
  });
});

suite('allocating by rules', () => {
  const pod = (name: string, namespace = 'shop'): Owner =>
    owner(`c-${namespace}-${name}`, { podNamespace: namespace, podName: name });
  async function prepared(...added: Rule[]): Promise<World> {
    const world = new World();
    await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue' }));
    await addRange(world.ipam, range('10.30.0.0/28', { name: 'red', namedOnly: true }));
    for (const each of added) await addRule(world.ipam, each);
    return world;
  }
  const give = async (
    { ipam }: { readonly ipam: Ipam },
    who: Owner,
    more: Partial<Parameters<typeof allocate>[1]> = {},
  ): Promise<string> => {
    const [allocation] = await allocate(ipam, { node: 'n1', owner: who, families: [4], ...more });
    assert.ok(allocation);
    return formatAddress(allocation.address).replace(/\.\d+$/, '');
  };

  test('a pod draws from the ranges of its rule, others from all', async () => {
    const world = await prepared(rule('reds'));
    assert.equal(await give(world, pod('web-1')), '10.30.0');
    assert.equal(await give(world, pod('web-1', 'other')), '10.20.0');
    assert.equal(await give(world, owner('no-pod')), '10.20.0');
    assert.deepEqual(world.problems(), []);
  });

  test('a full range is told with its rule; with fallback the others serve', async () => {
    for (const fallback of [false, true]) {
      const world = await prepared(rule('reds', { fallback }));
      for (let i = 0; i < 14; i++) assert.equal(await give(world, pod(`web-${i}`)), '10.30.0');
      if (fallback) assert.equal(await give(world, pod('web-14')), '10.20.0');
      else {
        await assert.rejects(give(world, pod('web-14')), {
          code: 'exhausted',
          message: /by rule 'reds': blue \(not in rule 'reds'\), red .*full/,
        });
      }
    }
  });

  test('a network that names its ranges has no others', async () => {
    const world = await prepared(rule('reds'));
    assert.equal(await give(world, pod('web-1'), { ranges: ['blue'] }), '10.20.0');
    assert.equal(await give(world, pod('web-2'), { ranges: ['blue', 'red'] }), '10.30.0');
  });

  test('a repeated ADD keeps its address, whatever the rules are now', async () => {
    const world = await prepared();
    assert.equal(await give(world, pod('web-1')), '10.20.0');
    await addRule(world.ipam, rule('reds'));
    assert.equal(await give(world, pod('web-1')), '10.20.0');
  });

  test('Kubernetes is asked once, for what the rules need', async () => {
    const world = await prepared(
      rule('webs', { podLabels: { app: 'web' } }),
      rule('zone', { namespace: '*', nodeLabels: { zone: 'a' }, ranges: ['blue'] }),
    );
    const asked: string[] = [];
    const ask = (sources: readonly string[]): Promise<Facts> => {
      asked.push(...sources);
      return Promise.resolve({
        pod: { labels: { app: 'web' }, ownerKind: 'StatefulSet', annotations: {} },
        ...(knowsNode && { node: { labels: {} } }),
      });
    };
    let knowsNode = true;
    assert.equal(await give(world, pod('web-1'), { ask }), '10.30.0');
    assert.deepEqual(asked, ['pod', 'node']);
    knowsNode = false;
    await assert.rejects(give(world, pod('x', 'other'), { ask }), { code: 'unknown-pod', message: /node/ });
    await assert.rejects(give(world, pod('web-2')), { code: 'unknown-pod', message: /no API server/ });
    const away = { ask: () => Promise.reject(new Error('away')) };
    await assert.rejects(give(world, pod('web-2'), away), /away/);
    assert.equal(world.given().size, 1);
  });

  test('a cached agent notices each change of a rule', async () => {
    const world = await prepared();
    const agent = { ipam: world.agent() };
    assert.equal(await give(agent, pod('web-1')), '10.20.0');
    await addRule(world.ipam, rule('reds'));
    assert.equal(await give(agent, pod('web-2')), '10.30.0');
    await addRule(world.ipam, rule('first', { pod: 'web-3', ranges: ['blue'] }));
    assert.equal(await give(agent, pod('web-3')), '10.20.0');
    await removeRule(world.ipam, 'reds');
    assert.equal(await give(agent, pod('web-4')), '10.20.0');
    assert.deepEqual(world.problems(), []);
  });

  test('a rule that changes between the choice and the write is not missed', async () => {
    const world = await prepared();
    const commit = world.store.commit.bind(world.store);
    let raced = false;
    world.store.commit = async (guards, writes) => {
      if (!raced) {
        raced = true;
        await addRule(world.ipam, rule('reds'));
      }
      return await commit(guards, writes);
    };
    assert.equal(await give(world, pod('web-1')), '10.30.0');
  });

  test('what a cached agent refuses by rules that are gone is looked at again', async () => {
    const world = await prepared(rule('webs', { podLabels: { app: 'web' } }));
    const agent = { ipam: world.agent() };
    // Another namespace's pod fills the cache, and keeps what was read of the rules.
    const warm = (n: number): Promise<string> => give(agent, pod(`w-${n}`, 'other'));
    await warm(1);
    const waits = { code: 'unknown-pod' };
    await assert.rejects(give(agent, pod('web-1')), waits);
    await warm(2);
    await addRule(world.ipam, rule('byname', { pod: 'web-1' }));
    assert.equal(await give(agent, pod('web-1')), '10.30.0');
    await warm(3);
    await removeRule(world.ipam, 'webs');
    assert.equal(await give(agent, pod('web-2')), '10.20.0');
  });

  test('a range that is full only for the cache is read again before others serve', async () => {
    const world = await prepared(rule('reds', { fallback: true }));
    const agent = { ipam: world.agent() };
    assert.equal(await give(agent, pod('web-1')), '10.30.0');
    await setRangeState(world.ipam, 'red', 'draining');
    assert.equal(await give(agent, pod('web-2')), '10.20.0');
    await setRangeState(world.ipam, 'red', 'active');
    assert.equal(await give(agent, pod('web-3')), '10.30.0');
  });

  test('a record that is mended by hand counts at once', async () => {
    const world = await prepared(rule('reds'));
    const agent = { ipam: world.agent() };
    const key = ruleKey(rule('reds'));
    await world.store.commit([], [put(key, 'x'), put(RULES_CHANGED, '{"v":1,"count":9}')]);
    await assert.rejects(give(agent, pod('web-1')), { code: 'corrupt-record' });
    await world.store.commit([], [put(key, encodeRule(rule('reds')))]);
    assert.equal(await give(agent, pod('web-1')), '10.30.0');
  });

  test('a node has room where a rule may give it some', async () => {
    const world = await prepared();
    await setRangeState(world.ipam, 'blue', 'draining');
    const room = { node: 'n1', families: [4] as const };
    await assert.rejects(roomFor(world.ipam, room), { code: 'exhausted' });
    await addRule(world.ipam, rule('reds'));
    await roomFor(world.ipam, room);
    await assert.rejects(roomFor(world.ipam, { ...room, ranges: ['blue'] }), { code: 'exhausted' });
  });

  test('an idle block that only some pods may use goes back, the last one too', async () => {
    const world = await prepared(rule('reds'));
    await give(world, pod('web-1'));
    await release(world.ipam, {
      node: 'n1',
      attachment: { containerId: 'c-shop-web-1', ifname: 'eth0' },
      cause: DEL,
    });
    world.now += 60_000;
    const { blocks } = await readNodeBlocks(world.store, 'n1');
    assert.deepEqual(
      idleBlocks(blocks, world.now).map(({ block }) => block.range),
      ['red'],
    );
  });

  test('labels may have any key', async () => {
    const world = await prepared(rule('reds', { podLabels: { constructor: 'acme' } }));
    const ask = (): Promise<Facts> =>
      Promise.resolve({ pod: { labels: {}, ownerKind: undefined, annotations: {} } });
    assert.equal(await give(world, pod('web-1'), { ask }), '10.20.0');
    assert.deepEqual((await readRules(world.store)).rules[0]?.podLabels, { constructor: 'acme' });
  });

  test('a rule and the removal of its range do not pass each other', async () => {
    const world = await prepared();
    const commit = world.store.commit.bind(world.store);
    let raced = false;
    world.store.commit = async (guards, writes) => {
      if (!raced && writes.some(({ key }) => key.startsWith('rules/in/'))) {
        raced = true;
        await removeRange(world.ipam, 'red');
      }
      return await commit(guards, writes);
    };
    await assert.rejects(addRule(world.ipam, rule('reds')), { code: 'not-found' });
  });

  test('an equal rule, a name that is taken and an unknown range are refused', async () => {
    const world = await prepared(rule('reds', { namespace: 'shop-*' }));
    const add = (each: Rule): Promise<Rule> => addRule(world.ipam, each);
    await assert.rejects(add(rule('other', { namespace: '*-shop' })), {
      code: 'conflict',
      message: /'reds'/,
    });
    await assert.rejects(add(rule('reds')), { code: 'conflict', message: /exists already/ });
    await assert.rejects(add(rule('x', { ranges: ['rde'] })), {
      code: 'not-found',
      remedy: /Did you mean 'red'/,
    });
    await assert.rejects(add(rule('x', { pod: 'Web' })), { code: 'invalid', message: /pod 'Web'/ });
    await assert.rejects(add(rule('x', { podLabels: { 'a/b/c': '' } })), {
      code: 'invalid',
      message: /a\/b\/c/,
    });
    assert.equal((await readRules(world.store)).rules.length, 1);
    await assert.rejects(removeRule(world.ipam, 'red'), { code: 'not-found', remedy: /Did you mean 'reds'/ });
  });

  test('a rule that cannot be read harms only pods that it may be for', async () => {
    const world = await prepared(rule('reds'), rule('any', { namespace: 'test-*' }));
    await world.store.commit([], [put(ruleKey(rule('reds')), '{"v":2}')]);
    await world.store.commit([], [put(ruleKey(rule('any', { namespace: 'test-*' })), 'x')]);
    await world.store.commit([], [put(RULES_CHANGED, '{"v":1,"count":9}')]);
    await assert.rejects(give(world, pod('web-1')), {
      code: 'corrupt-record',
      message: /rules\/in\/shop\/reds/,
    });
    await assert.rejects(give(world, pod('web-1', 'test-1')), { code: 'corrupt-record', message: /test-\*/ });
    assert.equal(await give(world, pod('web-1', 'other')), '10.20.0');
    assert.deepEqual(await removeRule(world.ipam, 'reds'), { rule: undefined });
    assert.equal(await give(world, pod('web-1')), '10.20.0');
  });
});
