import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation, AllocationRequest } from '../../../ipam/allocate/allocation.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { readAnnotations, type AllowedAnnotations } from '../../../ipam/model/annotations.ts';
import type { Owner } from '../../../ipam/model/attachment.ts';
import type { KeptSlot, Slot, UsedSlot } from '../../../ipam/model/block.ts';
import type { Facts, Labels, Rule } from '../../../ipam/model/rule.ts';
import type { Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { setRange } from '../../../ipam/ranges/set-range.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey } from '../../../ipam/records/keys.ts';
import { decodeRule, encodeRule, ruleKey } from '../../../ipam/records/rule-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { settleKept, type AskOfPod } from '../../../ipam/rules/keeping.ts';
import { addRule, removeRule } from '../../../ipam/rules/rules.ts';
import { rule } from '../../support/rule.ts';
import { end, pod } from './pods.ts';
import { ips, range, World } from './world.ts';

const HOUR = 3_600_000;
const ALL: AllowedAnnotations = { kinds: ['ranges', 'ip', 'keep'] };
const allows = (name: string, more: Partial<Rule> = {}): Rule =>
  rule(name, { ranges: [], annotations: ALL, ...more });

async function prepared(...rules: Rule[]): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 30_000 }));
  await addRange(world.ipam, range('10.30.0.0/24', { name: 'red', namedOnly: true }));
  await addRange(world.ipam, range('10.40.0.0/24', { name: 'green' }));
  await addRange(world.ipam, range('fd00::/120', { name: 'six' }));
  for (const each of rules) await addRule(world.ipam, each);
  return world;
}

const told = (annotations: Labels): Required<Pick<Facts, 'pod'>> => ({
  pod: { labels: {}, ownerKind: undefined, annotations },
});

const give = (
  { ipam }: { readonly ipam: Ipam },
  node: string,
  who: Owner,
  annotations: Labels,
  more: Partial<AllocationRequest> = {},
): Promise<Allocation[]> =>
  allocate(ipam, {
    ...{ node, owner: who, families: [4], ask: () => Promise.resolve(told(annotations)) },
    ...more,
  });
const giveIp = async (...args: Parameters<typeof give>): Promise<string> => ips(await give(...args)).join();

const slotOf = (world: World, ip: string): Slot | undefined => {
  const address = parseAddress(ip);
  return world
    .blocks()
    .filter(({ cidr }) => cidr.base.family === address.family)
    .flatMap(({ cidr, slots }) => slots[Number(address.value - cidr.base.value)] ?? [])
    .find(({ state }) => state !== 'free');
};
const keepOf = (world: World, ip: string): (UsedSlot | KeptSlot)['keep'] => {
  const slot = slotOf(world, ip);
  return slot?.state === 'used' || slot?.state === 'kept' ? slot.keep : undefined;
};

suite('annotations of pods', () => {
  const wishes = (annotations: Labels, allowed: Partial<AllowedAnnotations> = {}) =>
    readAnnotations(annotations, { ...ALL, ...allowed });

  test('are read', () => {
    assert.deepEqual(wishes({ 'cellnet.io/ranges': ' red, red6', 'cellnet.io/ip': 'fd00::17 ,10.40.0.17' }), {
      ranges: ['red', 'red6'],
      ips: [parseAddress('fd00::17'), parseAddress('10.40.0.17')],
    });
    assert.deepEqual(wishes({ 'cellnet.io/keep': '1d12h' }), { keep: { forMs: 36 * HOUR } });
    assert.deepEqual(wishes({ 'cellnet.io/keep': 'forever' }), { keep: {} });
    assert.deepEqual(wishes({ 'cellnet.io/keep': 'none' }, { keepAtMostMs: HOUR }), { keep: 'none' });
    assert.deepEqual(wishes({ 'cellnet.io/keep': '1h' }, { keepAtMostMs: HOUR }), { keep: { forMs: HOUR } });
    assert.deepEqual(wishes({ 'cellnet.io/other': 'x', ranges: 'y' }), {});
    assert.deepEqual(
      wishes({ 'cellnet.io/ip': 'nonsense', 'cellnet.io/keep': '?' }, { kinds: ['ranges'] }),
      {},
    );
  });

  const bad: [key: string, value: string, expected: RegExp][] = [
    ['ranges', '', /is "": expected at most 20 names of ranges with commas between/],
    ['ranges', 'red,,blue', /expected at most 20 names/],
    ['ranges', 'red,red', /each once/],
    ['ranges', 'Red Range', /"Red Range": expected/],
    ['ranges', Array.from({ length: 21 }, (_, i) => `r${i}`).join(), /at most 20/],
    ['ip', '10.40.0.256', /is "10\.40\.0\.256": expected an address such as 10\.20\.0\.17/],
    ['ip', '10.40.0.1,10.40.0.2', /one of each family/],
    ['ip', '10.40.0.1/24', /expected an address/],
    ['ip', '', /expected an address/],
    ['keep', '2 days', /is "2 days": expected a time from 1s to 3650d, or forever, or none/],
    ['keep', '0', /expected a time from 1s/],
    ['keep', '4000d', /expected a time from 1s/],
    ['keep', 'x'.repeat(200_000), /"x{100}…": expected/],
  ];
  for (const [key, value, expected] of bad)
    test(`cellnet.io/${key} of '${value.slice(0, 20)}' is refused`, () => {
      assert.throws(
        () => wishes({ [`cellnet.io/${key}`]: value }),
        (error: Error) => {
          assert.match(error.message, new RegExp(`^annotation cellnet\\.io/${key} of the pod`));
          assert.match(error.message, expected);
          assert.ok(error.message.length < 400);
          assert.equal((error as Error & { code?: string }).code, 'invalid');
          return true;
        },
      );
    });

  test('may keep no longer than the rule says', () => {
    for (const value of ['2h', 'forever'])
      assert.throws(
        () => wishes({ 'cellnet.io/keep': value }, { keepAtMostMs: HOUR }),
        /expected at most 1h, for its rule allows no more/,
      );
  });
});

suite('rules that allow annotations', () => {
  test('come back as they were, and older programs refuse them', () => {
    const full = allows('own', { annotations: { kinds: ['keep', 'ip'], keepAtMostMs: HOUR } });
    const value = encodeRule(full);
    assert.match(value, /^{"v":3,/);
    assert.deepEqual(decodeRule(ruleKey(full), value), full);
    assert.throws(() => decodeRule(ruleKey(full), value.replace('"ip"', '"mac"')), {
      code: 'corrupt-record',
    });
  });

  test('with bad terms are refused', async () => {
    const world = await prepared();
    const add = (more: Partial<Rule>): Promise<Rule> => addRule(world.ipam, allows('x', more));
    await assert.rejects(add({ annotations: { kinds: [] } }), /expected some of ranges,ip,keep/);
    await assert.rejects(add({ annotations: { kinds: ['ip', 'ip'] } }), /'ip,ip': expected some of/);
    await assert.rejects(
      add({ annotations: { kinds: ['ip'], keepAtMostMs: HOUR } }),
      /with allowed annotation keep/,
    );
    await assert.rejects(add({ annotations: { ...ALL, keepAtMostMs: 10 } }), /1s to 3650d/);
    await assert.rejects(
      add({ annotations: { ...ALL, keepAtMostMs: HOUR }, keep: {} }),
      /most to keep 1h: expected at least the rule's own/,
    );
  });
});

suite('a pod with annotations', () => {
  test('is as any other where no rule allows them, and nobody asks about it', async () => {
    const world = await prepared(rule('plain', { pod: 'plain' }));
    const ask = (): Promise<Facts> => assert.fail('asked');
    const greens = { 'cellnet.io/ranges': 'green', 'cellnet.io/ip': 'no' };
    assert.match(await giveIp(world, 'n1', pod('plain'), greens, { ask }), /^10\.30\./);
    assert.match(await giveIp(world, 'n1', pod('none'), greens, { ask }), /^10\.20\./);
  });

  test('waits while nobody tells its annotations', async () => {
    const world = await prepared(allows('own'));
    const away = { ask: () => Promise.reject(new Error('the API server is away')) };
    await assert.rejects(give(world, 'n1', pod('a'), {}, away), /away/);
    const nobody = allocate(world.ipam, { node: 'n1', owner: pod('a'), families: [4] });
    await assert.rejects(nobody, { code: 'unknown-pod' });
    assert.equal(world.given().size, 0);
  });

  test('is asked about once, with what other rules need', async () => {
    const world = await prepared(allows('own'), rule('team', { pod: 'a', namespaceLabels: { team: 'a' } }));
    const asked: string[][] = [];
    const ask: AllocationRequest['ask'] = (sources) => {
      asked.push([...sources]);
      return Promise.resolve({ ...told({ 'cellnet.io/ranges': 'green' }), namespace: { labels: {} } });
    };
    assert.match(await giveIp(world, 'n1', pod('a'), {}, { ask }), /^10\.40\./);
    assert.deepEqual(asked, [['namespace', 'pod']]);
  });

  for (const by of ['agent', 'plugin'] as const)
    test(`draws from the ranges that it names, and from no others, by the ${by}`, async () => {
      const world = await prepared(allows('own', { ranges: ['red', 'green'], fallback: true }));
      const at = by === 'agent' ? { ipam: world.agent() } : world;
      assert.match(await giveIp(at, 'n1', pod('a'), {}), /^10\.40\./);
      const ip = await giveIp(at, 'n1', pod('b'), { 'cellnet.io/ranges': 'red' });
      assert.match(ip, /^10\.30\./);
      const slot = slotOf(world, ip);
      assert.deepEqual(slot?.state === 'used' && slot.chosenBy, ['ranges']);
      await assert.rejects(give(at, 'n1', pod('c'), { 'cellnet.io/ranges': 'green,blue' }), {
        code: 'invalid',
        message:
          /cellnet\.io\/ranges of the pod is "green,blue": expected ranges that rule 'own' allows \(green, red\), not 'blue'/,
      });
      await assert.rejects(give(at, 'n1', pod('c'), { 'cellnet.io/ranges': 'gone' }), /not 'gone'/);
      assert.deepEqual(world.problems(), []);
    });

  test('waits where its ranges are full, although the rule has others', async () => {
    const world = await prepared();
    await addRange(world.ipam, range('10.50.0.0/29', { name: 'tiny', blockSize: 4 }));
    await addRule(world.ipam, allows('more', { pod: 't*', ranges: ['tiny', 'green'], fallback: true }));
    const tiny = { 'cellnet.io/ranges': 'tiny' };
    for (let i = 0; i < 6; i++) assert.match(await giveIp(world, 'n1', pod(`t${i}`), tiny), /^10\.50\./);
    await assert.rejects(give(world, 'n1', pod('t9'), tiny), {
      code: 'exhausted',
      message: /green \(not in annotation cellnet\.io\/ranges of the pod\), .*tiny .*full/,
    });
  });

  test('reaches no range that must be named, unless the rule or the network names it', async () => {
    const world = await prepared(allows('own'));
    const red = { 'cellnet.io/ranges': 'red' };
    await assert.rejects(give(world, 'n1', pod('a'), red), /allows \(blue, green, six\), not 'red'/);
    await assert.rejects(give(world, 'n1', pod('a'), { 'cellnet.io/ip': '10.30.0.9' }), {
      code: 'invalid',
      message:
        /annotation cellnet\.io\/ip of the pod is "10\.30\.0\.9": expected addresses of ranges that rule 'own' allows \(blue, green, six\)/,
    });
    assert.match(await giveIp(world, 'n1', pod('a'), red, { ranges: ['blue', 'red'] }), /^10\.30\./);
    // The range is closed between the look at it and the assignment.
    const agent = { ipam: world.agent() };
    const green = { 'cellnet.io/ranges': 'green' };
    assert.match(await giveIp(agent, 'n1', pod('b'), green), /^10\.40\./);
    await setRange(world.ipam, 'green', { namedOnly: true });
    await assert.rejects(give(agent, 'n1', pod('c'), green), { code: 'invalid' });
  });

  test('an annotation for ranges of another network changes nothing in this one', async () => {
    const world = await prepared(allows('own'));
    const wish = { 'cellnet.io/ranges': 'green', 'cellnet.io/ip': '10.40.0.9' };
    assert.match(await giveIp(world, 'n1', pod('a'), wish, { ranges: ['blue'] }), /^10\.20\./);
  });

  test('gets the address that it names, of both families, on whichever node', async () => {
    const world = await prepared(allows('own', { ranges: ['green', 'six'] }));
    const both = { families: [4, 6] as const };
    const wish = { 'cellnet.io/ip': '10.40.0.17,fd00::17' };
    assert.equal(await giveIp(world, 'n1', pod('a'), wish, both), '10.40.0.17,fd00::17');
    const slot = slotOf(world, '10.40.0.17');
    assert.deepEqual(slot?.state === 'used' && slot.chosenBy, ['ip']);
    await assert.rejects(give(world, 'n2', pod('b'), wish, both), {
      code: 'taken',
      message: /10\.40\.0\.17 \(annotation cellnet\.io\/ip\) is given to pod shop\/a on node 'n1'/,
    });
    // Others of the block live on: the next one is a guest there.
    await give(world, 'n1', pod('other'), { 'cellnet.io/ip': '10.40.0.18' });
    await end(world, 'n1', pod('a'));
    await assert.rejects(give(world, 'n2', pod('b'), wish, both), { code: 'taken', message: /cooling/ });
    world.now += HOUR;
    for (const ipam of [world.agent()]) {
      assert.equal(await giveIp({ ipam }, 'n2', pod('b'), wish, both), '10.40.0.17,fd00::17');
      assert.deepEqual(world.problems(), []);
      const near = { 'cellnet.io/ip': '10.40.0.19' };
      assert.equal(await giveIp({ ipam }, 'n2', pod('near'), near), '10.40.0.19');
    }
    assert.deepEqual(await end(world, 'n2', pod('b')), ['10.40.0.17', 'fd00::17']);
    assert.deepEqual(world.problems(), []);
    await end(world, 'n2', pod('near'));
    assert.deepEqual(world.problems(), []);
  });

  test('of one family gets what is free of the other, on the same VLAN', async () => {
    const world = await prepared(allows('own'));
    const wish = { 'cellnet.io/ip': 'fd00::17' };
    const got = await giveIp(world, 'n1', pod('a'), wish, { families: [4, 6] });
    assert.match(got, /^10\.[24]0\.0\.\d+,fd00::17$/);
    await assert.rejects(give(world, 'n1', pod('b'), wish), {
      code: 'invalid',
      message: /is "fd00::17": expected addresses of IPv4, which the network gives \('ipam\.families'\)/,
    });
  });

  test('must name an address of its rule and of its own ranges', async () => {
    const world = await prepared(allows('own', { ranges: ['green', 'red'] }));
    const wish = (ip: string, ranges?: string) => ({
      'cellnet.io/ip': ip,
      ...(ranges !== undefined && { 'cellnet.io/ranges': ranges }),
    });
    await assert.rejects(
      give(world, 'n1', pod('a'), wish('10.20.0.9')),
      /allows \(green, red\), not 10\.20\.0\.9/,
    );
    await assert.rejects(
      give(world, 'n1', pod('a'), wish('10.99.0.9')),
      /allows \(green, red\), not 10\.99\.0\.9/,
    );
    await assert.rejects(
      give(world, 'n1', pod('a'), wish('10.30.0.9', 'green')),
      /of the ranges that its annotation cellnet\.io\/ranges names, not 10\.30\.0\.9/,
    );
    await assert.rejects(give(world, 'n1', pod('a'), wish('10.40.0.0')), {
      code: 'conflict',
      message: /10\.40\.0\.0 \(annotation cellnet\.io\/ip\) is reserved/,
    });
    assert.equal(await giveIp(world, 'n1', pod('a'), wish('10.30.0.9', 'red,green')), '10.30.0.9');
  });

  test('and what the runtime requests must agree', async () => {
    const world = await prepared(allows('own'));
    const wish = { 'cellnet.io/ip': '10.40.0.9' };
    const by = (ip: string) => ({ requested: [parseAddress(ip)] });
    await assert.rejects(give(world, 'n1', pod('a'), wish, by('10.40.0.8')), {
      code: 'conflict',
      message: /the runtime requests 10\.40\.0\.8 for the pod, its annotation cellnet\.io\/ip 10\.40\.0\.9/,
    });
    assert.equal(await giveIp(world, 'n1', pod('a'), wish, by('10.40.0.9')), '10.40.0.9');
    const mixed = await giveIp(
      world,
      'n1',
      pod('b'),
      { 'cellnet.io/ip': 'fd00::9' },
      {
        ...by('10.40.0.10'),
        families: [4, 6],
      },
    );
    assert.equal(mixed, '10.40.0.10,fd00::9');
  });

  test('many that ask for one address at once: one gets it', async () => {
    const world = await prepared(allows('own'));
    await give(world, 'n0', pod('neighbour'), { 'cellnet.io/ip': '10.40.0.20' });
    const agents = Array.from({ length: 6 }, () => world.agent());
    const results = await Promise.allSettled(
      agents.map((ipam, i) => giveIp({ ipam }, `n${i}`, pod(`p${i}`), { 'cellnet.io/ip': '10.40.0.17' })),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal(world.given().size, 2);
    assert.deepEqual(world.problems(), []);
  });
});

suite('an annotation that keeps', () => {
  const forever = { 'cellnet.io/keep': 'forever' };

  test('gives the pod its address again, and the slot says why', async () => {
    const world = await prepared(allows('own'));
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'), { 'cellnet.io/keep': '24h' });
    assert.deepEqual(keepOf(world, first), {
      rule: 'own',
      since: world.now,
      forMs: 24 * HOUR,
      byAnnotation: true,
    });
    await end(world, 'n1', pod('db-0', 'c1'));
    world.now += HOUR;
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c2'), forever), first);
    assert.equal(keepOf(world, first)?.forMs, undefined);
    await assert.rejects(give(world, 'n1', pod('db-0', 'c3'), forever), { code: 'still-used' });
    assert.deepEqual(world.problems(), []);
    const [block] = world.blocks();
    assert.ok(block);
    assert.deepEqual(decodeBlock(blockKey(block.range, block.cidr), encodeBlock(block)), block);
  });

  test('may also say that it keeps nothing: the address comes a last time, without a wait', async () => {
    const world = await prepared(allows('own', { keep: {} }));
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'), {});
    assert.equal(keepOf(world, first)?.byAnnotation, undefined);
    const none = { 'cellnet.io/keep': 'none' };
    assert.notEqual(await giveIp(world, 'n2', pod('db-0', 'c2'), none), first);
    await end(world, 'n2', pod('db-0', 'c2'));
    await end(world, 'n1', pod('db-0', 'c1'));
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c3'), none), first);
    assert.equal(keepOf(world, first), undefined);
    await end(world, 'n2', pod('db-0', 'c3'));
    assert.equal(slotOf(world, first)?.state, 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('that is taken away keeps nothing any more', async () => {
    const world = await prepared(allows('own'));
    const first = await giveIp(world, 'n1', pod('db-0', 'c1'), forever);
    await end(world, 'n1', pod('db-0', 'c1'));
    const moved = { 'cellnet.io/ip': '10.40.0.9' };
    assert.equal(await giveIp(world, 'n1', pod('db-0', 'c2'), moved), '10.40.0.9');
    assert.equal(slotOf(world, first)?.state, 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('with an address: it stays the pod’s, and another one cannot take it', async () => {
    const world = await prepared(allows('own', { ranges: ['green'] }));
    const wish = { ...forever, 'cellnet.io/ip': '10.40.0.17' };
    await give(world, 'n1', pod('db-0', 'c1'), wish);
    await end(world, 'n1', pod('db-0', 'c1'));
    await assert.rejects(give(world, 'n2', pod('thief'), wish), /kept for pod shop\/db-0/);
    assert.equal(await giveIp(world, 'n2', pod('db-0', 'c2'), wish), '10.40.0.17');
    assert.deepEqual(world.problems(), []);
  });

  test('for any pod, where the rule says so', async () => {
    const world = await prepared(allows('own', { keep: { forMs: HOUR, anyPod: true } }));
    const first = await giveIp(world, 'n1', pod('web-a'), { 'cellnet.io/keep': '2h' });
    await end(world, 'n1', pod('web-a'));
    assert.deepEqual([keepOf(world, first)?.anyPod, keepOf(world, first)?.forMs], [true, 2 * HOUR]);
    assert.equal(await giveIp(world, 'n2', pod('web-b'), {}), first);
    assert.equal(keepOf(world, first)?.forMs, HOUR);
    assert.deepEqual(world.problems(), []);
  });
});

suite('rules that change under annotations', () => {
  const nobody: AskOfPod = () => Promise.resolve(undefined);
  const settle = (world: World, name: string, of: Rule | undefined, ask = nobody) =>
    settleKept(world.ipam, { name, ...(of && { rule: of }) }, ask);
  const day = { 'cellnet.io/keep': '24h' };

  async function kept(): Promise<{ readonly world: World; readonly ip: string }> {
    const world = await prepared(allows('own'));
    const ip = await giveIp(world, 'n1', pod('db-0', 'c1'), day);
    await end(world, 'n1', pod('db-0', 'c1'));
    return { world, ip };
  }

  test('what is kept by annotation stays when other rules come, and ends with its own', async () => {
    const { world, ip } = await kept();
    const wide = rule('wide', { namespace: 'sh*', keep: {} });
    await addRule(world.ipam, wide);
    assert.deepEqual(await settle(world, 'wide', wide), { kept: 0, ended: 0, untold: 0, unreadable: [] });
    assert.equal((await settle(world, 'own', allows('own'))).ended, 0);
    assert.equal(keepOf(world, ip)?.byAnnotation, true);
    await removeRule(world.ipam, 'own');
    await removeRule(world.ipam, 'wide');
    assert.equal((await settle(world, 'own', allows('own'))).ended, 1);
    assert.equal(slotOf(world, ip)?.state, 'released');
    assert.deepEqual(world.problems(), []);
  });

  test('a narrower rule that allows them takes it over as it is; one that does not, by its own terms', async () => {
    const { world, ip } = await kept();
    const narrow = allows('narrow', { pod: 'db-*' });
    await addRule(world.ipam, narrow);
    await settle(world, 'narrow', narrow);
    assert.deepEqual(
      [keepOf(world, ip)?.rule, keepOf(world, ip)?.forMs, keepOf(world, ip)?.byAnnotation],
      ['narrow', 24 * HOUR, true],
    );
    const plain = rule('plain', { pod: 'db-0', ranges: [], keep: { forMs: HOUR } });
    await addRule(world.ipam, plain);
    await settle(world, 'plain', plain);
    assert.deepEqual(keepOf(world, ip), { rule: 'plain', forMs: HOUR, since: keepOf(world, ip)?.since });
    assert.deepEqual(world.problems(), []);
  });

  test('added to pods that run: what their annotations say holds; who is not told of is counted', async () => {
    const world = await prepared();
    const had = new Map<string, string>();
    for (const name of ['day', 'none', 'bad', 'untold'])
      had.set(name, await giveIp(world, 'n1', pod(name), {}));
    const own = allows('own', { keep: { forMs: HOUR } });
    await addRule(world.ipam, own);
    const ask: AskOfPod = ({ name }) => {
      const value = { day: '24h', none: 'none', bad: '?' }[name];
      return Promise.resolve(value === undefined ? undefined : told({ 'cellnet.io/keep': value }));
    };
    const settled = await settle(world, 'own', own, ask);
    assert.deepEqual([settled.kept, settled.untold], [1, 2]);
    assert.equal(keepOf(world, had.get('day') ?? '')?.forMs, 24 * HOUR);
    assert.equal(keepOf(world, had.get('none') ?? ''), undefined);
    assert.equal((await settle(world, 'own', own, ask)).kept, 0);
    assert.deepEqual(world.problems(), []);
  });

  test('a rule of a newer program may be the pod’s: nothing ends', async () => {
    const { world, ip } = await kept();
    const own = allows('own');
    await world.store.commit([], [put(ruleKey(own), encodeRule(own).replace('"v":3', '"v":4'))]);
    const narrow = rule('narrow', { pod: 'db-*', ranges: ['green'] });
    await addRule(world.ipam, narrow);
    assert.equal((await settle(world, 'narrow', narrow)).ended, 0);
    assert.equal(slotOf(world, ip)?.state, 'kept');
  });
});
