import { spawn } from 'node:child_process';

export interface Program {
  /** A path, or a name that is looked up in PATH. */
  readonly file: string;
  readonly args?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Standard input. Absent: none. */
  readonly input?: string;
  /** Longest text of each output, in characters. */
  readonly maxOutput: number;
  /** Ends the program early. */
  readonly signal: AbortSignal;
}

export interface Ended {
  /** Undefined when a signal ended the program. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Why the program was killed: `signal` was aborted, or it printed too much. */
  readonly killedFor: 'signal' | 'output' | undefined;
}

/**
 * Time for what a program has printed to arrive once it has ended, in milliseconds. A process that
 * it left behind may keep its output open for ever.
 */
const DRAIN_MS = 200;

/**
 * Runs a program until it exits, in a process group of its own. Does not wait for processes that
 * the program leaves behind, also when these keep its output open. At the signal, kills the whole
 * group. Leaves the group alone after an exit: a plugin may start a daemon.
 * @throws Error of spawn(2) when the program cannot be started
 */
export function runProgram({ file, args = [], env, input, maxOutput, signal }: Program): Promise<Ended> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(file, args, { env, detached: true, stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    let status: number | undefined;
    let killedFor: Ended['killedFor'];
    let draining: NodeJS.Timeout | undefined;

    const finish = (): void => {
      clearTimeout(draining);
      signal.removeEventListener('abort', abort);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ status, ...output, killedFor });
    };
    const drain = (): void => {
      draining ??= setTimeout(finish, DRAIN_MS);
    };
    const kill = (why: NonNullable<Ended['killedFor']>): void => {
      killedFor ??= why;
      killGroup(child.pid);
      // The kernel ends a process that waits for a disk only when the disk answers.
      drain();
    };
    const abort = (): void => kill('signal');

    signal.addEventListener('abort', abort, { once: true });
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        output[name] = (output[name] + chunk).slice(0, maxOutput + 1);
        if (output[name].length > maxOutput) kill('output');
      });
    }
    // A program that does not read its input closes the pipe. Its exit status decides.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => {
      signal.removeEventListener('abort', abort);
      reject(error);
    });
    child.on('exit', (code) => {
      status = code ?? undefined;
      signal.removeEventListener('abort', abort);
      drain();
    });
    child.on('close', finish);
    child.stdin.end(input ?? '');
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
}
