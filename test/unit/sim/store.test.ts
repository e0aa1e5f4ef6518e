import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { IpamError } from '../../../ipam/model/errors.ts';
import { absent, put, unchanged } from '../../../ipam/records/transaction.ts';
import { EtcdNetwork, type EtcdTrouble } from '../../sim/etcd-network.ts';
import { SimEtcd } from '../../sim/etcd.ts';
import { Process, type Sim } from '../../sim/process.ts';
import { Random } from '../../sim/random.ts';
import { Scheduler } from '../../sim/scheduler.ts';
import { SimStore } from '../../sim/store.ts';
import { Trace } from '../../sim/trace.ts';
import { STORE_CASES } from '../../support/store-cases.ts';

const simulation = (): Sim => {
  const scheduler = new Scheduler();
  const trace = new Trace(false, () => scheduler.time);
  return { scheduler, random: new Random(1), trace, calm: false };
};

/** A simulated etcd with the store of one process, and a way to let time pass. */
class Bench {
  readonly sim = simulation();
  readonly etcd = new SimEtcd(() => this.sim.scheduler.time);
  readonly network = new EtcdNetwork(this.etcd, 1);
  readonly process: Process;
  readonly store: SimStore;

  constructor(tries = 1, pageSize = 500) {
    const clock = (): number => this.sim.scheduler.time;
    this.process = new Process(this.sim, 'n1', 'test', { now: clock, monotonic: clock });
    const options = { pageSize, tries, onCommit: () => undefined };
    this.store = new SimStore(this.network, this.process, options);
  }

  /** Lets time pass until the work is over, a minute at most. */
  async during<T>(work: Promise<T>): Promise<T> {
    work.then(
      () => this.sim.scheduler.stop(),
      () => this.sim.scheduler.stop(),
    );
    await this.sim.scheduler.run(60_000);
    return await work;
  }
}

suite('the simulated etcd', () => {
  for (const pageSize of [500, 7]) {
    for (const { name, run } of STORE_CASES)
      test(`${name} (pages of ${pageSize})`, async () => {
        const bench = new Bench(1, pageSize);
        const compact = (): void => bench.etcd.compact();
        const pause = (ms: number): Promise<void> => bench.process.wait(ms);
        await bench.during(run({ store: bench.store, compact, pause }));
      });
  }

  test('restored to a snapshot, it counts on from there: a revision comes again with another value', () => {
    const etcd = new SimEtcd(() => 0);
    etcd.txn([], [put('a', '1')]);
    const snapshot = etcd.snapshot();
    etcd.txn([], [put('a', '2')]);
    const [before] = etcd.get(['a']);
    etcd.restore(snapshot);
    assert.equal(etcd.get(['a'])[0]?.value, '1');
    etcd.txn([], [put('a', '3')]);
    assert.ok(before && etcd.txn([unchanged(before)], [put('b', '1')]), 'the old guard holds');
    assert.throws(() => etcd.range('', { revision: '1' }), /compacted/);
    assert.throws(() => etcd.range('', { revision: '99' }), /future revision/);
    etcd.wipe();
    assert.deepEqual(etcd.range('').entries, []);
  });
});

suite('the network to the simulated etcd', () => {
  const underTrouble = async (
    how: EtcdTrouble,
    tries = 1,
  ): Promise<{ outcome: unknown; written: boolean; ms: number }> => {
    const bench = new Bench(tries);
    bench.network.conditions.add({ how, share: 1 });
    const outcome = await bench
      .during(bench.store.commit([absent('a')], [put('a', '1')]))
      .catch((error: unknown) => error);
    return { outcome, written: bench.etcd.get(['a'])[0] !== undefined, ms: bench.sim.scheduler.time };
  };
  const unreachable = (outcome: unknown): void => {
    assert.ok(outcome instanceof IpamError && outcome.code === 'store-unreachable' && outcome.uncertain);
  };

  test('a refused or lost write is not done, and the client cannot know', async () => {
    const refused = await underTrouble('refused');
    unreachable(refused.outcome);
    assert.deepEqual([refused.written, refused.ms < 100], [false, true]);
    const lost = await underTrouble('lost');
    unreachable(lost.outcome);
    assert.deepEqual([lost.written, lost.ms], [false, 5_000]);
  });

  test('an unanswered or broken write is done all the same', async () => {
    for (const how of ['unanswered', 'broken'] as const) {
      const { outcome, written } = await underTrouble(how);
      unreachable(outcome);
      assert.ok(written, how);
    }
  });

  test('a write that another endpoint gets too fails at its own guard', async () => {
    const { outcome, written } = await underTrouble('broken', 3);
    unreachable(outcome);
    assert.ok(written);
    const bench = new Bench(3);
    const trouble = { how: 'broken', share: 1 } as const;
    bench.network.conditions.add(trouble);
    bench.sim.scheduler.after(0, () => void bench.network.conditions.delete(trouble));
    assert.equal(await bench.during(bench.store.commit([absent('a')], [put('a', '1')])), undefined);
    assert.equal(bench.etcd.get(['a'])[0]?.value, '1');
  });

  test('what a killed process has sent still arrives; it learns of nothing', async () => {
    const bench = new Bench();
    let answered = false;
    void bench.store.commit([], [put('a', '1')]).then(() => (answered = true));
    bench.process.end();
    await bench.sim.scheduler.run(60_000);
    assert.equal(bench.etcd.get(['a'])[0]?.value, '1');
    assert.equal(answered, false);
  });

  test('a request under way is lost when a restored etcd takes over', async () => {
    const bench = new Bench();
    const commit = bench.store.commit([], [put('a', '1')]);
    bench.etcd.wipe();
    await assert.rejects(bench.during(commit), { code: 'store-unreachable', uncertain: true });
    assert.deepEqual(bench.etcd.range('').entries, []);
  });
});
