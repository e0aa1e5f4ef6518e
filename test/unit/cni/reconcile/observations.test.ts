import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { weigh, type Suspect, type Suspected } from '../../../../cni/reconcile/observations.ts';

const suspect = (id: string, atOnce = false): Suspect => ({ id, atOnce });
const ids = (suspects: readonly Suspect[]): string[] => suspects.map(({ id }) => id);
const NONE: Suspected = new Map();

suite('two observations', () => {
  test('the first proves nothing, but for what is proof at once', () => {
    const first = weigh([suspect('a'), suspect('b', true)], NONE, 100, 30);
    assert.deepEqual(ids(first.proven), ['b']);
    assert.deepEqual(ids(first.waiting), ['a']);
    assert.equal(first.nextInMs, 30);
  });

  test('a second one a grace later does, an earlier one does not', () => {
    const first = weigh([suspect('a')], NONE, 100, 30);
    const early = weigh([suspect('a')], first.suspected, 129, 30);
    assert.deepEqual(ids(early.proven), []);
    assert.equal(early.nextInMs, 1);
    assert.deepEqual(ids(weigh([suspect('a')], early.suspected, 130, 30).proven), ['a']);
  });

  test('without a grace it still takes two', () => {
    const first = weigh([suspect('a')], NONE, 100, 0);
    assert.deepEqual(ids(first.proven), []);
    assert.equal(first.nextInMs, 0);
    assert.deepEqual(ids(weigh([suspect('a')], first.suspected, 100, 0).proven), ['a']);
  });

  test('what was well in between begins anew', () => {
    const first = weigh([suspect('a')], NONE, 100, 30);
    const well = weigh([], first.suspected, 120, 30);
    assert.equal(well.nextInMs, undefined);
    assert.deepEqual(ids(weigh([suspect('a')], well.suspected, 140, 30).proven), []);
  });

  test('proven is just who was seen at every look for at least the grace', () => {
    const looks = fc.array(
      fc.record({
        after: fc.integer({ min: 0, max: 40 }),
        seen: fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(looks, fc.integer({ min: 0, max: 60 }), (all, graceMs) => {
        let suspected = NONE;
        let now = 0;
        const since = new Map<string, number>();
        for (const { after, seen } of all) {
          now += after;
          for (const id of since.keys()) if (!seen.some((each) => each === id)) since.delete(id);
          const expected = seen.filter((id) => now - (since.get(id) ?? Infinity) >= graceMs);
          for (const id of seen) if (!since.has(id)) since.set(id, now);
          const weighed = weigh(
            seen.map((id) => suspect(id)),
            suspected,
            now,
            graceMs,
          );
          assert.deepEqual(ids(weighed.proven), expected);
          assert.equal(weighed.proven.length + weighed.waiting.length, seen.length);
          ({ suspected } = weighed);
        }
      }),
    );
  });
});
