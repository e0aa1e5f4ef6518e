/** One cheap fault of `npm run faults`, so that the run itself keeps working. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFaults } from '../faults/faults.ts';
import { runFault } from '../faults/run.ts';

test("etcd's leader is killed under a burst of ADDs and DELs, and everything holds", async (t) => {
  const [fault] = chooseFaults(['etcd-leader-killed']);
  assert.ok(fault);
  const result = await runFault({ ...fault, lastsMs: 2_000 }, (line) => t.diagnostic(line), 1_000);
  assert.deepEqual(result.problems, []);
  assert.ok(result.adds.done > 0, 'pods came while it lasted');
  assert.ok(result.dels.done > 0, 'pods ended while it lasted');
});
