/** Runs a program, and keeps all lines of its standard output. */
import { spawn, type ChildProcess } from 'node:child_process';
import { childEnv } from './proc.ts';

export interface LineReader {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  /** What it wrote to standard error. */
  errors(): string;
  /** Resolves with the exit status. */
  readonly ended: Promise<number | null>;
  stop(): Promise<unknown>;
}

export const readLines = (
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): LineReader => {
  const child = spawn(command, args, { env: childEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let rest = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const stop = (): Promise<unknown> => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    return ended;
  };
  return { process: child, lines, errors: () => errors, ended, stop };
};
