import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { WriteWatch } from '../../../../cni/agent/write-watch.ts';
import { IpamError } from '../../../../ipam/model/errors.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

const full = new IpamError('store-read-only', 'etcd has used up its quota (alarm NOSPACE)');
const denied = new IpamError('store-denied', 'permission denied');

/** A watch whose clock and timer the test moves. */
class World {
  readonly told: (IpamError | undefined)[] = [];
  readonly watch: WriteWatch;
  refusal: IpamError | undefined;
  asked = 0;
  #now = 0;
  #tick: (() => void) | undefined;

  constructor() {
    const store = new MemoryStore();
    store.before = () => {
      this.asked++;
      return this.refusal ? Promise.reject(this.refusal) : Promise.resolve();
    };
    this.watch = new WriteWatch({
      store,
      effects: {
        monotonic: () => this.#now,
        random: () => 0,
        schedule: (_, work) => {
          this.#tick = work;
          return { cancel: () => (this.#tick = undefined) };
        },
      },
      tell: (refusal) => void this.told.push(refusal),
    });
    this.watch.lookAfter('n');
  }

  /** Lets time pass, in ticks of ten seconds. */
  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds / 10; i++) {
      this.#now += 10_000;
      this.#tick?.();
      for (let n = 0; n < 5; n++) await turn();
    }
  }
}

suite('whether etcd takes writes', () => {
  test('the first question asks etcd; afterwards STATUS costs it nothing', async () => {
    const world = new World();
    for (let i = 0; i < 10; i++) await world.watch.check('n');
    assert.equal(world.asked, 1);
    for (let i = 0; i < 60; i++) {
      await world.pass(10);
      await world.watch.check('n');
    }
    // Once a minute, for ten minutes.
    assert.equal(world.asked, 11);
  });

  test('while calls write, nothing is asked', async () => {
    const world = new World();
    for (let i = 0; i < 60; i++) {
      world.watch.told(undefined);
      await world.pass(10);
      await world.watch.check('n');
    }
    assert.equal(world.asked, 0);
  });

  test('an etcd that becomes full while no call writes is told within a minute', async () => {
    const world = new World();
    await world.watch.check('n');
    world.refusal = full;
    await world.pass(60);
    assert.equal(world.told.at(-1), full);
    await assert.rejects(world.watch.check('n'), full);
  });

  test('a write that etcd refuses counts at once, and until a write succeeds', async () => {
    const world = new World();
    await world.watch.check('n');
    world.watch.told(full);
    await assert.rejects(world.watch.check('n'), full);
    world.watch.told(undefined);
    await world.watch.check('n');
    assert.equal(world.asked, 1);
    assert.deepEqual(world.told, [undefined, full, undefined]);
  });

  test('after a refusal etcd is asked every ten seconds', async () => {
    const world = new World();
    world.refusal = full;
    await assert.rejects(world.watch.check('n'), full);
    await world.pass(30);
    assert.equal(world.asked, 4);
    world.refusal = undefined;
    await world.pass(10);
    await world.watch.check('n');
    assert.equal(world.asked, 5);
  });

  test('a role without the right to write some key: a write of others does not end that', async () => {
    const world = new World();
    world.refusal = denied;
    await assert.rejects(world.watch.check('n'), denied);
    world.watch.told(undefined);
    await assert.rejects(world.watch.check('n'), denied);
    world.refusal = undefined;
    await world.pass(10);
    await world.watch.check('n');
  });

  test('one call that may not write its key says nothing of the others', async () => {
    const world = new World();
    await world.watch.check('n');
    world.watch.told(denied);
    await world.watch.check('n');
    assert.equal(world.asked, 1);
  });

  test('an etcd that does not answer is no refusal', async () => {
    const world = new World();
    const away = new IpamError('store-unreachable', 'no answer');
    world.refusal = away;
    await assert.rejects(world.watch.check('n'), away);
    world.refusal = undefined;
    await world.watch.check('n');
    assert.deepEqual(world.told, [undefined]);
  });

  test('a retired one asks no more', async () => {
    const world = new World();
    world.watch.stop();
    await world.pass(120);
    assert.equal(world.asked, 0);
  });
});
