import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Guard, Write } from '../../../ipam/records/transaction.ts';
import { FAULTS, HELD_TODAY } from '../../sim/acts.ts';
import { SimEtcd, type Commit } from '../../sim/etcd.ts';
import { makePlan } from '../../sim/plan.ts';
import { runPlan } from '../../sim/run.ts';
import { parsePlan, planText, shrink } from '../../sim/shrink.ts';
import { storyOf } from '../../sim/story.ts';

/** Seeds that each run of the unit tests tells: a second's worth. */
const SEEDS = 4;

suite('the simulator', () => {
  test('one seed is one history, whether it is traced or not', async () => {
    for (const seed of [1, 2]) {
      const plan = makePlan(seed, FAULTS);
      const [first, second] = [await runPlan(plan), await runPlan(plan, { trace: true })];
      assert.deepEqual([first.events, first.endedAt], [second.events, second.endedAt]);
      assert.deepEqual(makePlan(seed, FAULTS), plan);
    }
  });

  test('an act that is left out changes no choice of the others', () => {
    const plan = makePlan(3, FAULTS);
    const some = plan.scenes.filter((_, i) => i % 3 === 0);
    assert.deepEqual(parsePlan(planText(some, plan), plan).scenes, some);
    const moved = some.map((scene) => ({ ...scene, at: scene.at + 5 }));
    assert.deepEqual(parsePlan(planText(moved, plan), plan).scenes, moved);
    assert.throws(() => parsePlan('1,x', plan), /--plan: 'x' is no scene of seed 3/);
  });

  test('an etcd that compares nothing is found out, by a short story that fails again', async () => {
    const makeEtcd = (now: () => number): SimEtcd => new CarelessEtcd(now);
    for (let seed = 1; seed <= 20; seed++) {
      const plan = makePlan(seed, []);
      const { violation } = await runPlan(plan, { makeEtcd });
      if (!violation) continue;
      const shrunk = await shrink(plan, violation.kind, { makeEtcd });
      assert.ok(shrunk.plan.scenes.length < plan.scenes.length / 2);
      const { calm } = shrunk;
      const again = await runPlan(shrunk.plan, { calm, makeEtcd, trace: true });
      assert.equal(again.violation?.kind, violation.kind);
      const story = storyOf(again.trace, again.violation);
      assert.ok(story.length < 60, story.join('\n'));
      return;
    }
    assert.fail('20 seeds found nothing');
  });

  test(`everything holds in ${SEEDS} seeds, with the faults of today`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = await runPlan(makePlan(seed, HELD_TODAY));
      assert.equal(violation, undefined, `npm run sim -- --seed ${seed}: ${violation?.text ?? ''}`);
    }
  });
});

class CarelessEtcd extends SimEtcd {
  override txn(_guards: readonly Guard[], writes: readonly Write[]): Commit | undefined {
    return super.txn([], writes);
  }
}
