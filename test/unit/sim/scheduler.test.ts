import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Random } from '../../sim/random.ts';
import { Scheduler } from '../../sim/scheduler.ts';

suite('simulated time', () => {
  test('events happen in the order of their times, those of one time in the order they were made', async () => {
    const scheduler = new Scheduler();
    const random = new Random(7);
    const planned = Array.from({ length: 500 }, (_, i) => ({ i, ms: random.below(50) }));
    const happened: { i: number; ms: number }[] = [];
    for (const each of planned)
      scheduler.after(each.ms, () => {
        assert.equal(scheduler.time, each.ms);
        happened.push(each);
      });
    await scheduler.run(1_000);
    assert.deepEqual(
      happened,
      [...planned].sort((a, b) => a.ms - b.ms || a.i - b.i),
    );
    assert.equal(scheduler.time, 1_000);
  });

  test('all that an event sets off ends before the next event', async () => {
    const scheduler = new Scheduler();
    const seen: string[] = [];
    const long = async (name: string): Promise<void> => {
      for (let i = 0; i < 20; i++) await Promise.resolve();
      seen.push(name);
    };
    scheduler.after(5, () => void long('first'));
    scheduler.after(5, () => void long('second'));
    scheduler.after(5, () => void seen.push('third'));
    await scheduler.run(5);
    assert.deepEqual(seen, ['first', 'second', 'third']);
  });

  test('a cancelled event does not happen; events after the end wait; stop ends the run', async () => {
    const scheduler = new Scheduler();
    const seen: number[] = [];
    scheduler.after(1, () => void seen.push(1)).cancel();
    scheduler.after(2, () => {
      seen.push(2);
      scheduler.after(-5, () => void seen.push(scheduler.time));
    });
    scheduler.after(30, () => void seen.push(30));
    await scheduler.run(20);
    assert.deepEqual(seen, [2, 2]);
    scheduler.after(0, () => scheduler.stop());
    await scheduler.run(40);
    assert.deepEqual([seen, scheduler.time], [[2, 2], 20]);
  });
});

suite('seeded chance', () => {
  test('a stream depends on its seed and name only, not on what other streams draw', () => {
    const draw = (random: Random): number[] => Array.from({ length: 5 }, () => random.next());
    const [one, two] = [new Random(1), new Random(1)];
    draw(two.fork('other'));
    draw(two);
    assert.deepEqual(draw(one.fork('a')), draw(two.fork('a')));
    assert.notDeepEqual(draw(new Random(1).fork('a')), draw(new Random(1).fork('b')));
    assert.notDeepEqual(draw(new Random(1)), draw(new Random(2)));
  });

  test('numbers spread evenly, weights hold', () => {
    const random = new Random(3);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const n = random.below(10);
      counts[n] = (counts[n] ?? 0) + 1;
    }
    for (const count of counts) assert.ok(count > 850 && count < 1150, counts.join());
    const picked = Array.from({ length: 4_000 }, () => random.weighted({ often: 3, rare: 1, never: 0 }));
    const rare = picked.filter((each) => each === 'rare').length;
    assert.ok(rare > 850 && rare < 1150, String(rare));
    assert.ok(!picked.includes('never'));
    assert.throws(() => random.pick([]), RangeError);
    assert.throws(() => random.weighted({ none: 0 }), RangeError);
  });
});
