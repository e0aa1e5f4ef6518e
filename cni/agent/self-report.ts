import { OWN_READ_VERSIONS, type AgentReport } from '../../ipam/records/agent-report.ts';
import type { HealthReport } from './health.ts';

/** Shortest time between two reports where something of note has changed, in milliseconds. */
const CHANGED_AFTER_MS = 60_000;
/** The same where only the counts have, in milliseconds. An agent without calls writes nothing. */
const COUNTED_AFTER_MS = 300_000;

const MOST_REASONS = 3;
const LONGEST_REASON = 200;

export interface SelfKnown {
  readonly version: string;
  readonly plugin: string | undefined;
  readonly health: Pick<HealthReport, 'ok' | 'reasons'>;
  readonly calls: AgentReport['calls'];
  /** May throw: the folder of the records cannot be read. */
  readonly pending: () => number;
  readonly now: number;
}

/** Returns what the agent tells etcd of itself. */
export function selfReport({ version, plugin, health, calls, pending, now }: SelfKnown): AgentReport {
  return {
    version,
    ...(plugin !== undefined && { plugin }),
    healthy: health.ok,
    reasons: health.reasons.slice(0, MOST_REASONS).map(shortened),
    calls,
    ...countOf(pending),
    reads: OWN_READ_VERSIONS,
    at: now,
  };
}

/** A reason names servers, and should never name their users. */
function shortened(reason: string): string {
  const text = reason.replace(/\/\/[^/@\s]*@/g, '//');
  return text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON - 1)}…` : text;
}

function countOf(pending: () => number): { readonly pending?: number } {
  try {
    return { pending: pending() };
  } catch {
    return {};
  }
}

/** A report, and when it was made by the monotonic clock. */
export interface TimedReport {
  readonly report: AgentReport;
  readonly at: number;
}

/**
 * Tells whether a report is to be written: the first one; at most once a minute when the version,
 * the health, or whether teardowns wait has changed; else every five minutes when a count has. So a
 * thousand nodes with calls write 3.3 times a second, and idle ones never
 * (docs/decisions/0045-status.md).
 */
export function isReportDue(last: TimedReport | undefined, next: TimedReport): boolean {
  if (!last) return true;
  const ms = next.at - last.at;
  if (ms >= CHANGED_AFTER_MS && notableOf(last.report) !== notableOf(next.report)) return true;
  return ms >= COUNTED_AFTER_MS && countsOf(last.report) !== countsOf(next.report);
}

const notableOf = ({ version, plugin, healthy, pending = 0 }: AgentReport): string =>
  JSON.stringify([version, plugin, healthy, pending > 0]);

const countsOf = ({ calls, pending, reasons }: AgentReport): string =>
  JSON.stringify([calls.served, calls.failed, pending, reasons]);
