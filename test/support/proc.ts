/**
 * Starts programs, each with a deadline: no test can wait for ever, and no program outlives the
 * test process.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface RunOptions {
  /**
   * Default: 20,000. At the deadline `run` kills the process group and rejects with ProcError
   * PROC_TIMEOUT.
   */
  readonly timeoutMs?: number;
  /** Extends the test's own environment. Undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** Name of a network namespace under /run/netns. Equivalent to: ip netns exec NAME … */
  readonly netns?: string;
  readonly cwd?: string;
}

export interface RunResult {
  /** Exit status, or null when a signal killed the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class ProcError extends Error {
  readonly code: 'PROC_FAILED' | 'PROC_TIMEOUT' | 'PROC_EXITED_EARLY';
  readonly result: RunResult;

  constructor(code: ProcError['code'], what: string, result: RunResult) {
    const output = [result.stdout, result.stderr].map((text) => text.trim()).filter((text) => text !== '');
    super([what, ...output].join('\n'));
    this.name = 'ProcError';
    this.code = code;
    this.result = result;
  }
}

/**
 * Returns the environment of a child: the current one without the variables of Node's test runner
 * and npm, plus `extra` and the sbin directories in PATH.
 */
export const childEnv = (extra: RunOptions['env'] = {}): NodeJS.ProcessEnv => {
  const PATH = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;
  const own = Object.entries({ ...process.env, PATH, ...extra });
  return Object.fromEntries(own.filter(([key]) => !/^(NODE_TEST_CONTEXT|NODE_OPTIONS|npm_.*)$/.test(key)));
};

const inNamespace = (netns: string | undefined, command: string, args: readonly string[]): string[] =>
  netns === undefined ? [command, ...args] : ['ip', 'netns', 'exec', netns, command, ...args];

const killGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The process has ended already.
  }
};

/** Runs a program until it ends. Resolves with its output whatever the exit status. */
export const run = (
  command: string,
  args: readonly string[] = [],
  { timeoutMs = 20_000, env, input, netns, cwd }: RunOptions = {},
): Promise<RunResult> =>
  new Promise((resolve, reject) => {
    const [file = command, ...rest] = inNamespace(netns, command, args);
    const child = spawn(file, rest, { env: childEnv(env), cwd, detached: true, stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
    let expired = false;
    const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(deadline);
      clearTimeout(stragglers);
      const result = { code, signal, ...output };
      const what = `${[command, ...args].join(' ')} did not end within ${timeoutMs} ms`;
      if (expired) reject(new ProcError('PROC_TIMEOUT', what, result));
      else resolve(result);
    };
    const deadline = setTimeout(() => {
      expired = true;
      killGroup(child, 'SIGKILL');
    }, timeoutMs);
    // A daemon that the program started may keep its output open. 'close' would then never come.
    let stragglers: NodeJS.Timeout | undefined;
    child.once('exit', (code, signal) => {
      stragglers = setTimeout(() => {
        // On a busy machine this process may not have read the output yet: it does so before the
        // immediate.
        setImmediate(() => {
          child.stdout.destroy();
          child.stderr.destroy();
          finish(code, signal);
        });
      }, 500);
    });
    child.once('close', finish);
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    child.stdin.on('error', () => undefined); // The program may end without reading its input.
    child.stdin.end(input ?? '');
  });

/**
 * Does as `run` and returns stdout. Rejects with ProcError PROC_FAILED (the output in the message)
 * when the exit status is not 0.
 */
export const must = async (
  command: string,
  args: readonly string[] = [],
  options?: RunOptions,
): Promise<string> => {
  const result = await run(command, args, options);
  if (result.code === 0) return result.stdout;
  const status = result.code === null ? `signal ${result.signal ?? '?'}` : `status ${result.code}`;
  throw new ProcError('PROC_FAILED', `${[command, ...args].join(' ')}: ${status}`, result);
};

export interface Daemon {
  readonly pid: number;
  /**
   * Returns the program's output on stdout and stderr so far, at most the last 200,000 characters.
   */
  output(): string;
  readonly running: boolean;
  /** Resolves with the exit status when the program has ended. */
  readonly ended: Promise<number | null>;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGSTOP and returns once every thread has stopped. SIGCONT resumes the program. */
  pause(): void;
  /**
   * Sends SIGTERM, then SIGKILL after `graceMs` (default 3,000). Resolves when the program has
   * ended. A repeated call does nothing.
   */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts a long-running program. The kernel kills it with the test process, even when that process
 * is killed. Calls `ready` every 20 ms until it returns true. Rejects with ProcError
 * PROC_EXITED_EARLY when the program ends first, or PROC_TIMEOUT when `timeoutMs` (default 15,000)
 * pass.
 */
export const startDaemon = async (
  command: string,
  args: readonly string[],
  ready: (daemon: Daemon) => boolean | Promise<boolean>,
  { timeoutMs = 15_000, env, netns, cwd }: Omit<RunOptions, 'input'> = {},
): Promise<Daemon> => {
  const wrapped = inNamespace(netns, command, args);
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...wrapped], {
    env: childEnv(env),
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    // The program gets its own session, as a service has: the scheduler divides the processor among
    // sessions first (sched(7), autogroup).
    detached: true,
  });
  let text = '';
  const keep = (part: string): string => (text = (text + part).slice(-200_000));
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', (code) => resolve(code));
  });
  const state = { running: child.pid !== undefined };
  void ended.then(() => (state.running = false));
  const daemon: Daemon = {
    pid: child.pid ?? 0,
    output: () => text,
    get running() {
      return state.running;
    },
    ended,
    signal: (signal) => void child.kill(signal),
    pause: () => {
      child.kill('SIGSTOP');
      const deadline = performance.now() + 1_000;
      while (child.pid !== undefined && !isStopped(child.pid) && performance.now() < deadline);
    },
    stop: async (graceMs = 3_000) => {
      if (!state.running) return;
      child.kill('SIGTERM');
      child.kill('SIGCONT'); // A stopped process cannot handle SIGTERM.
      const impatient = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(impatient);
    },
  };
  const deadline = performance.now() + timeoutMs;
  while (!(await ready(daemon))) {
    if (state.running && performance.now() < deadline) {
      await sleep(20);
      continue;
    }
    const code = state.running ? 'PROC_TIMEOUT' : 'PROC_EXITED_EARLY';
    await daemon.stop(0);
    const what = `${command} was not ready: ${code === 'PROC_TIMEOUT' ? `${timeoutMs} ms passed` : 'it ended'}`;
    throw new ProcError(code, what, { code: await ended, signal: null, stdout: text, stderr: '' });
  }
  return daemon;
};

/** Returns whether every thread is in state T (stopped), by proc_pid_stat(5). */
const isStopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((task) =>
    /^\d+ \(.*\) T/s.test(readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8')),
  );

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Calls `probe` every `everyMs` (default 20) until it returns a value. Throws an Error that names
 * `what` after `timeoutMs` (default 15,000).
 */
export const until = async <Value>(
  what: string,
  probe: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeoutMs = 15_000,
  everyMs = 20,
): Promise<Value> => {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(everyMs);
  }
};
