import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { batches } from '../../../../cnictl/backup/carry.ts';

test('a transaction never has more than etcd takes', () => {
  const unit = fc.record({
    records: fc.array(fc.record({ key: fc.uuid(), value: fc.string({ maxLength: 2000 }) }), {
      minLength: 1,
      maxLength: 2,
    }),
    guards: fc.constant([]),
  });
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 400 }), (units) => {
      const made = [...batches(units)];
      assert.deepEqual(made.flat(), units);
      for (const batch of made) assert.ok(batch.flatMap(({ records }) => records).length <= 100);
    }),
    { numRuns: 20 },
  );
});
