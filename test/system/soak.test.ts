import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from '../soak/soak.ts';

test('a short soak: at the end just the living pods have addresses, and none was ever in two of them', async (t) => {
  const tell = (line: string): void => t.diagnostic(line);
  const { problems, tally } = await soak({ nodes: 2, seconds: 20, tell });
  for (const line of tally.lines()) tell(line);
  assert.deepEqual(problems, []);
  assert.ok(tally.of('ADD', 'done') > 20, 'pods came');
});
