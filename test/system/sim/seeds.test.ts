import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HELD_TODAY } from '../../sim/acts.ts';
import { search } from '../../sim/search.ts';

const SEEDS = 100;

test(`everything holds in ${SEEDS} seeds, with the faults of today`, async () => {
  // Other seeds than those of the unit tests. One worker: other tests run beside this one.
  const { failures } = await search({
    from: 1_000,
    seeds: SEEDS,
    jobs: 1,
    faults: HELD_TODAY,
    onProgress: () => undefined,
  });
  assert.deepEqual(failures, [], 'npm run sim -- --seed SEED tells the story');
});
