import { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';

/** What a command printed, for a file of the support bundle. */
export interface Captured {
  readonly stdout: string;
  readonly stderr: string;
  /** Why it printed nothing, or not all; undefined when it did its work. */
  readonly problem: string | undefined;
}

/**
 * Runs a command of cnictl with `-o json`, and keeps what it prints. Gives it up after the
 * deadline. Never throws.
 */
export async function capture(
  context: Context,
  work: (context: Context) => Promise<number>,
  deadlineMs: number,
): Promise<Captured> {
  const out = { stdout: '', stderr: '' };
  const stop = new AbortController();
  const world = {
    ...context.world,
    stdout: (text: string) => void (out.stdout += text),
    stderr: (text: string) => void (out.stderr += text),
    flushed: () => Promise.resolve(),
    showsProgress: false,
    untilStopped: () => stop.signal,
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`not done within ${deadlineMs / 1000} s`), deadlineMs);
  });
  const done = work(new Context(world, { ...context.options, output: 'json' })).then(
    () => undefined,
    (error: unknown) => firstLine(describeError(error).replace(/^cnictl: /, '')),
  );
  const problem = await Promise.race([done, late]);
  clearTimeout(timer);
  stop.abort(new Error('the bundle has waited long enough'));
  return { ...out, problem };
}

export const firstLine = (text: string): string => text.split('\n')[0] ?? '';
