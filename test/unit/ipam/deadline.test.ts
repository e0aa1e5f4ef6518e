import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import type { Effects } from '../../../ipam/model/effects.ts';
import type { IpamError } from '../../../ipam/model/errors.ts';
import { batchingIpam, type SharedIpam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver } from '../../../ipam/node/observer.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { give, owner, range, World } from './world.ts';

/** The time and the timers of a test. `pass` lets time pass. */
class Clock {
  #now = 0;
  #timers: { readonly at: number; readonly work: () => void }[] = [];
  readonly effects: Pick<Effects, 'monotonic' | 'schedule'> = {
    monotonic: () => this.#now,
    schedule: (ms, work) => {
      const timer = { at: this.#now + ms, work };
      this.#timers.push(timer);
      return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) };
    },
  };

  pass(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { work } of due) work();
  }
}

const DEADLINE_MS = 1_500;

async function setUp(): Promise<{ world: World; clock: Clock; agent: SharedIpam }> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/22'));
  const clock = new Clock();
  const effects = { ...world.effects, ...clock.effects };
  const context = {
    store: world.store,
    effects,
    observer: silentObserver,
    cache: new Map(),
    local: noLocalNode,
  };
  return { world, clock, agent: batchingIpam(context, 5_000) };
}

const ask = (agent: SharedIpam, id: string, chosen?: () => void): Promise<Allocation[]> =>
  allocate(agent.until(DEADLINE_MS), { node: 'n', owner: owner(id), families: [4] }, chosen);

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'given',
    (error: unknown) => {
      const { code, uncertain } = error as IpamError;
      return `${code}${uncertain ? ', uncertain' : ''}`;
    },
  );

suite("a caller's deadline in a process that lives on", () => {
  /** Holds the first request of that kind until the caller has given up, then goes on. */
  const hold = (world: World, clock: Clock, kind: string): void => {
    let isFirst = true;
    world.store.before = async (request) => {
      if (request !== kind || !isFirst) return;
      isFirst = false;
      clock.pass(DEADLINE_MS);
      await Promise.resolve();
    };
  };

  test('ends while etcd holds the write: nobody knows whether it is done', async () => {
    const { world, clock, agent } = await setUp();
    hold(world, clock, 'commit');
    assert.equal(await outcomeOf(ask(agent, 'a')), 'store-unreachable, uncertain');
  });

  test('ends while etcd holds the read: nothing was sent, and nothing is', async () => {
    const { world, clock, agent } = await setUp();
    hold(world, clock, 'scan');
    let chosen = 0;
    const outcome = outcomeOf(ask(agent, 'a', () => chosen++));
    assert.equal(await outcome, 'store-unreachable');
    assert.equal(await outcomeOf(allocate(agent, { node: 'n', owner: owner('b'), families: [4] })), 'given');
    assert.equal(chosen, 0, 'the ADD has ended: it must make nothing more');
    assert.deepEqual([...world.given().values()], ['b']);
  });

  test('after a lost race, nothing is tried again for a caller that has given up', async () => {
    const { world, clock, agent } = await setUp();
    await give(world, 'n', 'known');
    let isFirst = true;
    world.store.before = async (request) => {
      if (request !== 'commit' || !isFirst) return;
      isFirst = false;
      clock.pass(DEADLINE_MS);
      await give(world, 'n', 'faster');
    };
    assert.equal(await outcomeOf(ask(agent, 'a')), 'store-unreachable, uncertain');
    assert.equal(await outcomeOf(allocate(agent, { node: 'n', owner: owner('b'), families: [4] })), 'given');
    assert.deepEqual([...world.given().values()].sort(), ['b', 'faster', 'known']);
  });

  test('counts for reads of the store too', async () => {
    const { world, clock, agent } = await setUp();
    for (const read of [
      () => agent.until(DEADLINE_MS).store.get(['x']),
      () => agent.until(DEADLINE_MS).store.count(['x']),
      async () => {
        for await (const page of agent.until(DEADLINE_MS).store.scan('x')) assert.ok(page);
      },
    ]) {
      world.store.before = () => new Promise<void>(() => undefined);
      const outcome = outcomeOf(read());
      await Promise.resolve();
      clock.pass(DEADLINE_MS);
      assert.equal(await outcome, 'store-unreachable');
    }
  });

  test('more than 1,000 that wait are refused at once', async () => {
    const { world, agent } = await setUp();
    world.store.before = () => new Promise<void>(() => undefined);
    let refused = 0;
    const asked = Array.from({ length: 1_034 }, (_, i) =>
      agent.runner.run('n', { change: () => i }).catch((error: unknown) => {
        assert.equal((error as IpamError).code, 'busy');
        refused++;
      }),
    );
    await Promise.race([Promise.all(asked), new Promise((resolve) => setImmediate(resolve))]);
    assert.equal(refused, 33, 'one runs, and 1,000 wait behind it');
  });
});
