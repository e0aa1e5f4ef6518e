import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { runProgram, type Ended } from '../../../../cni/subprocess/run.ts';
import { until } from '../../../support/proc.ts';

const DEADLINE_MS = 5_000;

/** Runs the shell script with a deadline. */
function sh(script: string, { deadlineMs = DEADLINE_MS, input = '' } = {}): Promise<Ended> {
  return runProgram({
    file: '/bin/sh',
    args: ['-c', script],
    env: { PATH: process.env['PATH'] },
    input,
    maxOutput: 1_000,
    signal: AbortSignal.timeout(deadlineMs),
  });
}

/** Resolves when the process is gone, or a zombie that nobody has reaped. */
const gone = (pid: number): Promise<true> =>
  until(
    'the end of the process',
    () => !existsSync(`/proc/${pid}`) || /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8')),
  );

suite('a program', () => {
  test('gets its input; status and both outputs come back', async () => {
    const ended = await sh('cat; echo oops >&2; exit 3', { input: 'hello' });
    assert.deepEqual(ended, { status: 3, stdout: 'hello', stderr: 'oops\n', killedFor: undefined });
  });

  test('that does not read its input ends by its own status', async () => {
    assert.equal((await sh('exit 0', { input: 'x'.repeat(1 << 20) })).status, 0);
  });

  test('that leaves a child behind, which keeps stdout open, ends when it exits itself', async () => {
    const began = performance.now();
    const { status, stdout } = await sh('echo done; sleep 30 & echo $!');
    assert.ok(performance.now() - began < DEADLINE_MS / 2);
    const [said, pid] = stdout.split('\n');
    assert.deepEqual([status, said], [0, 'done']);
    assert.ok(existsSync(`/proc/${pid}`), 'it may be a daemon: it is left alone');
    process.kill(Number(pid), 'SIGKILL');
  });

  test('that hangs is killed at the signal, with what it started', async () => {
    const began = performance.now();
    const { status, stdout, killedFor } = await sh('sleep 30 & echo $!; sleep 30', { deadlineMs: 300 });
    assert.ok(performance.now() - began < DEADLINE_MS / 2);
    assert.deepEqual([status, killedFor], [undefined, 'signal']);
    await gone(Number(stdout));
  });

  test('that has exited when the signal comes is not killed for it', async () => {
    const { status, killedFor } = await sh('sleep 1 & exit 0', { deadlineMs: 100 });
    assert.deepEqual([status, killedFor], [0, undefined]);
  });

  test('that prints without end is killed', async () => {
    const { stdout, killedFor } = await sh('yes');
    assert.equal(killedFor, 'output');
    assert.equal(stdout.length, 1_001);
  });

  test('that does not exist is an error', () =>
    assert.rejects(
      runProgram({ file: '/none', env: {}, maxOutput: 1, signal: AbortSignal.timeout(DEADLINE_MS) }),
      { code: 'ENOENT' },
    ));
});
