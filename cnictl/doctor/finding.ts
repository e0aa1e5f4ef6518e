import { messageOf } from '../../ipam/model/errors.ts';

export type Level = 'ok' | 'warn' | 'fail';

/** One line of the doctor. */
export interface Finding {
  /** The subject of the check, such as `etcd latency`. */
  readonly check: string;
  readonly level: Level;
  readonly detail: string;
  /** What to do. Empty when the level is ok. */
  readonly remedy: string;
}

export const ok = (check: string, detail: string): Finding => ({ check, level: 'ok', detail, remedy: '' });
export const warn = (check: string, detail: string, remedy: string): Finding => ({
  check,
  level: 'warn',
  detail,
  remedy,
});
export const fail = (check: string, detail: string, remedy: string): Finding => ({
  check,
  level: 'fail',
  detail,
  remedy,
});

/** Examines one subject and returns one or more lines. An error that it throws becomes a line. */
export interface Check {
  readonly name: string;
  readonly look: () => Promise<readonly Finding[]>;
}

/** Makes a failed line from an error, with the error's own remedy if it has one. */
export function failed(
  check: string,
  error: unknown,
  remedy = 'Look at the message; CELLNET_DEBUG=1 tells more.',
): Finding {
  const own =
    error instanceof Error && 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
  return fail(check, messageOf(error), own === '' ? remedy : own);
}

/**
 * Runs the checks concurrently, each with its own deadline, so that none can stop or delay another.
 * @returns their lines in the order of the checks
 */
export async function runChecks(checks: readonly Check[], deadlineMs: number): Promise<Finding[]> {
  return (await Promise.all(checks.map((check) => runCheck(check, deadlineMs)))).flat();
}

async function runCheck({ name, look }: Check, deadlineMs: number): Promise<readonly Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Finding[]>((resolve) => {
    const line = fail(
      name,
      `no answer within ${deadlineMs / 1000} s`,
      'Something hangs: look at its process and its log.',
    );
    timer = setTimeout(() => resolve([line]), deadlineMs);
  });
  try {
    return await Promise.race([look(), late]);
  } catch (error) {
    return [failed(name, error)];
  } finally {
    clearTimeout(timer);
  }
}
