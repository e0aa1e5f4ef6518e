import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { run } from '../../support/proc.ts';

// `npm run fuzz` takes 100,000.
test('30,000 malformed inputs: always a valid reply, never a change by what is refused', async (t) => {
  const { code, stdout, stderr } = await run(
    process.execPath,
    ['--import', 'tsx', 'test/fuzz/main.ts', '30000'],
    { cwd: REPOSITORY, timeoutMs: 9 * 60_000 },
  );
  assert.equal(code, 0, stderr.slice(0, 5_000));
  assert.match(stdout, /^30000 inputs in [\d.]+ s: every reply valid, no refused call changed anything\n/);
  // The inputs must reach all but a handful of every parser's branches. A broken input generator
  // would miss more.
  for (const [line, file, reached, total] of stdout.matchAll(/^ {2}(\S+\.ts) +(\d+)\/(\d+)$/gm)) {
    t.diagnostic(line.trim());
    assert.ok(Number(total) - Number(reached) <= 4, `${file ?? ''}: ${line}`);
  }
});
