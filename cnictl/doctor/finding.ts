import { KubeError, type KubeErrorCode } from '../../cni/kube/errors.ts';
import { OvsdbError } from '../../cni/ovsdb/errors.ts';
import { remedyFor } from '../context/errors.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';

export type Level = 'ok' | 'warn' | 'fail';

/** One line of the doctor. */
export interface Finding {
  /** The subject of the check, such as `etcd latency`. */
  readonly check: string;
  readonly level: Level;
  readonly detail: string;
  /** What to do. Empty when the level is ok. */
  readonly remedy: string;
  /** A warning about how the cluster is built, which does not end: it sets no exit status. */
  readonly advice?: true;
  /** Further checks that failed for the same cause, and have no line of their own. */
  readonly also?: readonly string[];
  /** The error that was thrown, or the server that is away and on which several checks depend. */
  readonly cause?: string;
}

export const ok = (check: string, detail: string): Finding => ({ check, level: 'ok', detail, remedy: '' });
export const warn = (check: string, detail: string, remedy: string): Finding => ({
  check,
  level: 'warn',
  detail,
  remedy,
});
export const advise = (check: string, detail: string, remedy: string): Finding => ({
  ...warn(check, detail, remedy),
  advice: true,
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
  const cause = causeOf(error);
  return { ...fail(check, messageOf(error), remedyFor(error) || remedy), cause };
}

/** The cause of a failure where etcd, or a member of it, does not answer. */
export const ETCD_AWAY = 'etcd is away';

/** The cause of a failure where etcd serves reads and refuses writes. */
export const ETCD_READ_ONLY = 'etcd refuses writes';

/** Codes of KubeError that concern the server or the user as a whole, not one request. */
const KUBE_CAUSES: readonly KubeErrorCode[] = [
  'config',
  'credentials',
  'unauthorized',
  'tls',
  'unreachable',
  'unavailable',
  'timeout',
];

/** Returns what makes every check of the same server fail alike; else the error itself. */
function causeOf(error: unknown): string {
  if (error instanceof IpamError && error.code === 'store-unreachable') return ETCD_AWAY;
  if (error instanceof IpamError && error.code === 'store-read-only') return ETCD_READ_ONLY;
  if (error instanceof OvsdbError && ['unreachable', 'connection-lost', 'timeout'].includes(error.code))
    return 'Open vSwitch is away';
  if (error instanceof KubeError && KUBE_CAUSES.includes(error.code)) return 'the API server is away';
  return messageOf(error);
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
