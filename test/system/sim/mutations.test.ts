import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, setPriority } from 'node:os';
import { suite, test } from 'node:test';
import { edited } from '../../sim/bundle.ts';
import { catchMutation, seedsFrom } from '../../sim/catch.ts';
import { MUTATIONS } from '../../sim/mutations.ts';

// The search has no deadline, and gives way to files beside it that have one.
setPriority(constants.priority.PRIORITY_LOW);

/** Seeds that showed the mutations when they were last searched for. */
const RECORD = join(import.meta.dirname, '../../sim/caught.json');
const caught = JSON.parse(readFileSync(RECORD, 'utf8')) as Readonly<Record<string, number>>;

/** A change of the plans gives each seed another story: then so many others are tried. */
const OTHER_SEEDS = 300;

suite('every fault put into the programs is found', () => {
  for (const mutation of MUTATIONS)
    test(`${mutation.name}: ${mutation.breaks}`, async () => {
      const first = caught[mutation.name];
      assert.ok(first !== undefined, 'npm run sim -- --mutations --record');
      const found = await catchMutation(mutation, [first, ...seedsFrom(1, OTHER_SEEDS)]);
      assert.ok(found, `not found by seed ${first}, nor by the first ${OTHER_SEEDS}`);
    });

  test('a text that does not stand exactly once in its file fails', () => {
    const edit = { file: 'f.ts', text: 'a', replacement: '$&' };
    assert.equal(edited('bab', edit), 'b$&b');
    assert.throws(() => edited('b', edit), /f\.ts has 0 times/);
    assert.throws(() => edited('aba', edit), /f\.ts has 2 times/);
  });

  test('no two mutations have one name, and no other seed is recorded', () => {
    const names = MUTATIONS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual(Object.keys(caught).sort(), names.sort());
  });
});
