import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { edited } from '../../sim/bundle.ts';
import { MUTATIONS } from '../../sim/mutations.ts';
import { searchMutations } from '../../sim/search.ts';
import type { MutationReport } from '../../sim/worker.ts';
import { giveWay } from '../../support/give-way.ts';

// The search has no deadline, and gives way to files beside it that have one.
giveWay();

/** Seeds that showed the mutations when they were last searched for. */
const RECORD = join(import.meta.dirname, '../../sim/caught.json');
const caught = JSON.parse(readFileSync(RECORD, 'utf8')) as Readonly<Record<string, number>>;

/** A change of the plans gives each seed another story: then so many others are tried. */
const OTHER_SEEDS = 300;

const names = MUTATIONS.map(({ name }) => name);

suite('every fault put into the programs is found', () => {
  const reports = new Map<string, MutationReport>();
  // In a process of its own, since node:test watches every promise of this one: twice the work.
  before(() =>
    searchMutations(names, {
      seeds: OTHER_SEEDS,
      jobs: 1,
      firsts: caught,
      onFound: (report) => void reports.set(report.mutation, report),
    }),
  );

  for (const { name, breaks } of MUTATIONS)
    test(`${name}: ${breaks}`, () => {
      const found = reports.get(name);
      const seed = caught[name] ?? 'none: npm run sim -- --mutations --record';
      assert.ok(
        found?.caught,
        found?.trouble ?? `not found by seed ${seed}, nor by the first ${OTHER_SEEDS}`,
      );
    });

  test('a text that does not stand exactly once in its file fails', () => {
    const edit = { file: 'f.ts', text: 'a', replacement: '$&' };
    assert.equal(edited('bab', edit), 'b$&b');
    assert.throws(() => edited('b', edit), /f\.ts has 0 times/);
    assert.throws(() => edited('aba', edit), /f\.ts has 2 times/);
  });

  test('no two mutations have one name, and no other seed is recorded', () => {
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual(Object.keys(caught).sort(), [...names].sort());
  });
});
