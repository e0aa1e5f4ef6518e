/** Computes what the table tells of a fault's calls. */
export interface CallRecord {
  readonly node: string;
  readonly verb: 'ADD' | 'DEL';
  /** By the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  readonly ms: number;
  /** The CNI code; 0: done; undefined: the plugin gave no answer. */
  readonly code: number | undefined;
  readonly message: string;
}

export interface Refusals {
  readonly code: number | undefined;
  /** The message without what differs from call to call. */
  readonly message: string;
  readonly count: number;
}

export interface CallFigures {
  readonly done: number;
  /** The most frequent first. */
  readonly refused: readonly Refusals[];
  readonly medianMs: number;
  readonly longestMs: number;
}

/** The deadline of a call (docs/decisions/0025-deadlines.md); a failed ADD has 5 s for its undo. */
const DEADLINE_MS = { ADD: 25_000, DEL: 10_000 };
/** The time of processes and links on a machine with two processors that is busy. */
const SLACK_MS = 3_000;

const LONGEST_MESSAGE = 90;

/** Returns the message without addresses, paths and numbers, shortened. */
export function classOf(message: string): string {
  const plain = message
    .replace(/(?:https?:\/\/[\w.:]+,?)+/g, '…')
    .replace(/(?:unix:)?\/[\w./,-]+/g, '…')
    .replace(/\b\d+(?:\.\d+){3}(?::\d+)?\b/g, '…')
    .replace(/\b[0-9a-f]{12,}\b/g, '…')
    .replace(/\bcell[0-9a-f]{11}\b/g, '…')
    .replace(/…+/g, '…');
  return plain.length > LONGEST_MESSAGE ? `${plain.slice(0, LONGEST_MESSAGE)}…` : plain;
}

/** Returns the calls that were under way at some moment of the time. */
export const callsWithin = (calls: readonly CallRecord[], from: number, to: number): CallRecord[] =>
  calls.filter(({ startedAt, ms }) => startedAt <= to && startedAt + ms >= from);

export function figuresOf(calls: readonly CallRecord[]): CallFigures {
  const times = calls.map(({ ms }) => ms).sort((a, b) => a - b);
  const refused = new Map<string, Refusals>();
  for (const { code, message } of calls) {
    if (code === 0) continue;
    const each = { code, message: classOf(message), count: 1 };
    const key = `${code}: ${each.message}`;
    refused.set(key, { ...each, count: (refused.get(key)?.count ?? 0) + 1 });
  }
  return {
    done: calls.filter(({ code }) => code === 0).length,
    refused: [...refused.values()].sort((a, b) => b.count - a.count),
    medianMs: times[Math.floor((times.length - 1) / 2)] ?? 0,
    longestMs: times.at(-1) ?? 0,
  };
}

/**
 * Returns the calls that took longer than their deadline.
 * @param stoppedMs how long nothing served them, in milliseconds
 */
export const callsBeyondDeadline = (calls: readonly CallRecord[], stoppedMs: number): CallRecord[] =>
  calls.filter(({ verb, ms, code }) => code === undefined || ms > DEADLINE_MS[verb] + SLACK_MS + stoppedMs);

/**
 * Returns how long after the healing ADDs succeed on every node, in milliseconds: until the end of
 * the first ADD that succeeded, was begun after the healing, and after which none of them failed.
 * Undefined: on some node none succeeded.
 */
export function recoveryOf(
  calls: readonly CallRecord[],
  nodes: readonly string[],
  healedAt: number,
): number | undefined {
  const times = nodes.map((node) => {
    const later = calls.filter(
      (call) => call.node === node && call.verb === 'ADD' && call.startedAt >= healedAt,
    );
    const failures = later.filter(({ code }) => code !== 0).map(({ startedAt }) => startedAt);
    const lastFailure = Math.max(healedAt, ...failures);
    const ends = later
      .filter(({ code, startedAt }) => code === 0 && startedAt >= lastFailure)
      .map(({ startedAt, ms }) => startedAt + ms);
    return Math.min(...ends) - healedAt;
  });
  const longest = Math.max(...times);
  return Number.isFinite(longest) ? longest : undefined;
}

/** The longest time of an answer that counts, in milliseconds: a later one came after a gap. */
const ANSWER_WITHIN_MS = 1_000;

/**
 * Returns how many echo requests got no answer in time, by the output of ping(8). Undefined: the
 * output has no summary.
 */
export function countSilent(output: string): number | undefined {
  const sent = /(\d+) packets transmitted/.exec(output)?.[1];
  if (sent === undefined) return undefined;
  const inTime = [...output.matchAll(/icmp_seq=\d+ .*time=([\d.]+) ms/g)].filter(
    ([, ms]) => Number(ms) <= ANSWER_WITHIN_MS,
  );
  return Number(sent) - inTime.length;
}
