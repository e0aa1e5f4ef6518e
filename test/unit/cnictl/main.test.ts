import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { run, type RunResult } from '../../support/proc.ts';

const MAIN = join(import.meta.dirname, '../../../cnictl/main.ts');

/** Runs a shell line in which "$@" is `cnictl --help`. */
const inShell = (line: string): Promise<RunResult> =>
  run('bash', ['-c', line, 'bash', process.execPath, '--import', 'tsx', MAIN, '--help']);

suite('output that cannot be written', () => {
  test('a pipe that nobody reads: quietly, status 2', async () => {
    const ran = await inShell('"$@" | true; exit "${PIPESTATUS[0]}"');
    assert.deepEqual([ran.code, ran.stderr], [2, '']);
  });

  test('nobody reads the errors either', async () => {
    assert.equal((await inShell('"$@" 2>&1 | true; exit "${PIPESTATUS[0]}"')).code, 2);
  });

  test('a full device: a line that says so, status 2', async () => {
    const ran = await inShell('"$@" > /dev/full');
    assert.equal(ran.stderr, 'cnictl: the output cannot be written: no space left on device\n');
    assert.equal(ran.code, 2);
  });

  test('errors on a full device end with status 2', async () => {
    assert.equal((await inShell('"${@:1:4}" frobnicate 2> /dev/full')).code, 2);
  });
});
