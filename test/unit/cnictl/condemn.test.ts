import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { awaitCleared, type Sentenced } from '../../../cnictl/check/await-cleared.ts';
import { endLeaks, type EndingMeans } from '../../../cnictl/check/end-leaks.ts';
import { NodeLives } from '../../../cnictl/check/node-lives.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { expectedOf, usedSlots, type UsedSlot } from '../../../ipam/model/block.ts';
import { isInForce, SENTENCE_MS } from '../../../ipam/model/condemnation.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { aliveKey, encodeAliveRecord } from '../../../ipam/records/alive-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { readBlockOf } from '../../../ipam/release/release-in-block.ts';
import { CliWorld } from '../../golden/world.ts';

const IP = '10.20.0.64';
const NODE = 'node-2';
const alive = put(aliveKey(NODE), encodeAliveRecord({ machine: 'm', bootId: 'b', since: 0 }));

interface Leaking {
  readonly world: CliWorld;
  readonly end: (change?: Partial<EndingMeans>) => ReturnType<typeof endLeaks>;
  readonly slot: () => UsedSlot | undefined;
  readonly expected: ReturnType<typeof expectedOf>;
}

/** An address of node-2 that has leaked. */
async function leaking(): Promise<Leaking> {
  const world = await CliWorld.make();
  const { ipam } = world.ipam;
  const address = parseAddress(IP);
  const slot = (): UsedSlot | undefined =>
    world.ipam
      .blocks()
      .flatMap((block) => usedSlots(block))
      .find((each) => each.address.value === address.value)?.slot;
  const used = slot();
  assert.ok(used);
  const expected = expectedOf(used);
  const end: Leaking['end'] = async (change) => {
    const read = await readBlockOf(ipam, address);
    assert.ok(read);
    return await endLeaks(read, [{ address, expected, reason: 'pod-gone' }], {
      ipam,
      lives: new NodeLives([{ name: NODE, ready: false }]),
      wire: { answersFor: () => Promise.resolve(new Map()), canAsk: () => Promise.resolve(true) },
      by: 'alice@admin',
      dryRun: false,
      ...change,
    });
  };
  return { world, end, slot, expected };
}

suite('leaks of a node', () => {
  test('that is silent are released', async () => {
    const { end, slot } = await leaking();
    assert.deepEqual(await end({ dryRun: true }), [{ kind: 'would-release', reason: 'pod-gone' }]);
    assert.ok(slot());
    assert.deepEqual(await end(), [{ kind: 'released', reason: 'pod-gone' }]);
    assert.equal(slot(), undefined);
  });

  for (const [what, lives, life] of [
    ['that is Ready', new NodeLives([{ name: NODE, ready: true }]), 'ready'],
    ['that has capitals here, and is Ready', new NodeLives([{ name: 'Node-2', ready: true }]), 'ready'],
    ['of which nothing may be listed', new NodeLives(undefined), 'unlisted'],
  ] as const) {
    test(`${what} are condemned, and stay in use`, async () => {
      const { end, slot } = await leaking();
      const ending = { kind: 'condemned', node: NODE, life, reason: 'pod-gone', again: false };
      assert.deepEqual(await end({ lives, dryRun: true }), [{ ...ending, kind: 'would-condemn' }]);
      assert.equal(slot()?.condemned, undefined);
      assert.deepEqual(await end({ lives }), [ending]);
      assert.deepEqual([slot()?.condemned?.by, slot()?.condemned?.reason], ['alice@admin', 'pod-gone']);
      assert.deepEqual(await end({ lives }), [{ ...ending, again: true }]);
    });
  }

  test('whose agent lives are condemned, whatever the API server says', async () => {
    const { world, end, slot } = await leaking();
    await world.ipam.store.commit([], [alive]);
    assert.equal((await end({ lives: new NodeLives([]) }))?.[0]?.kind, 'condemned');
    assert.ok(slot()?.condemned);
  });

  test('whose agent comes to life during the look on the wire are not released', async () => {
    const { world, end, slot } = await leaking();
    const answersFor = async (): Promise<ReadonlyMap<string, string>> => {
      await world.ipam.store.commit([], [alive]);
      return new Map();
    };
    assert.equal(await end({ wire: { answersFor, canAsk: () => Promise.resolve(true) } }), undefined);
    assert.ok(slot());
  });

  test('that a host answers for on the wire stay', async () => {
    const { end, slot } = await leaking();
    const asked: unknown[] = [];
    const wire: EndingMeans['wire'] = {
      canAsk: () => Promise.resolve(true),
      answersFor: (vlan, addresses) => {
        asked.push([vlan, addresses.length]);
        return Promise.resolve(new Map([[IP, '02:00:00:00:00:99']]));
      },
    };
    assert.deepEqual(await end({ wire }), [{ kind: 'answers', mac: '02:00:00:00:00:99' }]);
    assert.deepEqual(asked, [[120, 1]]);
    assert.ok(slot());
  });

  test('that were added again lose the sentence', async () => {
    const { world, end, slot, expected } = await leaking();
    await end({ lives: new NodeLives(undefined) });
    const owner = slot()?.owner;
    assert.ok(owner);
    await allocate(world.ipam.ipam, { node: NODE, owner, families: [4] });
    assert.equal(slot()?.condemned, undefined);
    assert.deepEqual(slot() && expectedOf(slot() as UsedSlot), expected, 'the same allocation');
  });
});

suite('a sentence', () => {
  test('holds for an hour, and a check that still finds the leak renews it', async () => {
    const { world, end, slot } = await leaking();
    const lives = new NodeLives(undefined);
    await end({ lives });
    world.ipam.now += SENTENCE_MS / 2 - 1;
    assert.equal(isInForce(slot()?.condemned, world.ipam.now), true);
    const [again] = (await end({ lives })) ?? [];
    assert.ok(again?.kind === 'condemned' && again.again);
    world.ipam.now += SENTENCE_MS / 2 + 1;
    assert.equal(isInForce(slot()?.condemned, world.ipam.now), false);
    const [renewed] = (await end({ lives })) ?? [];
    assert.ok(renewed?.kind === 'condemned' && !renewed.again);
    assert.equal(slot()?.condemned?.at, world.ipam.now);
  });

  for (const command of [`release ${IP} --yes`, 'release --from-report /r --yes']) {
    test(`is taken off when the last look finds that the pod lives: ${command}`, async () => {
      const { world, end, slot } = await leaking();
      const pods = world.pods;
      world.pods = pods.filter(({ name }) => name !== 'api-1');
      await world.run('check --grace 0 --save /r');
      await end({ lives: new NodeLives(undefined) });
      world.pods = pods;
      assert.ok(slot()?.condemned);
      const ran = await world.run(command);
      assert.match(ran.stdout, /10\.20\.0\.64 kept: pod shop\/api-1 lives/);
      assert.equal(slot()?.condemned, undefined);
    });
  }

  test('keeps what a later release has added to it', async () => {
    const { world, end, slot } = await leaking();
    await end({ lives: new NodeLives(undefined) });
    const entry = [...world.ipam.store.entries.values()].find(({ value }) => value.includes('"condemned"'));
    assert.ok(entry);
    const value = entry.value.replace('"condemned":{', '"condemned":{"colour":"red",');
    assert.match(encodeBlock(decodeBlock(entry.key, value)), /"colour":"red"/);
    assert.ok(slot());
  });

  test('of an agent that does not reconcile is not waited for', async () => {
    const { world, end } = await leaking();
    const idle = encodeAliveRecord({ machine: 'm', bootId: 'b', since: 0, idle: true });
    await world.ipam.store.commit([], [put(aliveKey(NODE), idle)]);
    const [ending] = (await end()) ?? [];
    assert.ok(ending?.kind === 'condemned' && ending.life === 'idle');
  });
});

suite('waiting for agents', () => {
  const sentenced = ({ expected }: Leaking, life: 'agent' | 'ready'): Sentenced => ({
    address: parseAddress(IP),
    expected,
    outcome: { kind: 'condemned', node: NODE, life, reason: 'pod-gone', again: false },
  });
  const clockOf = (meanwhile: (looks: number) => Promise<void>) => {
    let now = 0;
    let looks = 0;
    return {
      monotonic: () => now,
      pause: async (ms: number) => {
        now += ms;
        await meanwhile(++looks);
      },
    };
  };

  test('ends when they are done, and tells which', async () => {
    const leak = await leaking();
    const cleared: string[] = [];
    const clock = clockOf(async (looks) => {
      if (looks === 3) await leak.end();
    });
    await awaitCleared(leak.world.ipam.ipam, [sentenced(leak, 'agent')], clock, 60_000, (_, outcome) =>
      cleared.push(outcome.kind),
    );
    assert.deepEqual([cleared, clock.monotonic()], [['cleared'], 3_000]);
  });

  test('ends when its time is over, and waits for nobody where no agent lives', async () => {
    const leak = await leaking();
    const clock = clockOf(() => Promise.resolve());
    const never = (): void => assert.fail('nothing was cleared');
    await awaitCleared(leak.world.ipam.ipam, [sentenced(leak, 'ready')], clock, 60_000, never);
    assert.equal(clock.monotonic(), 0);
    await awaitCleared(leak.world.ipam.ipam, [sentenced(leak, 'agent')], clock, 5_000, never);
    assert.equal(clock.monotonic(), 5_000);
  });
});
