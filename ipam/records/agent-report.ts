import * as v from 'valibot';
import { count, isoTime, text, time } from './codec.ts';
import { NEWEST_BLOCK_VERSION } from './block-record.ts';
import { NEWEST_RANGE_VERSION } from './range-record.ts';
import { NEWEST_RULE_VERSION } from './rule-record.ts';

/** The newest version that a program reads of the records that have more than one. */
export interface ReadVersions {
  readonly ranges: number;
  readonly blocks: number;
  readonly rules: number;
}

/** What this program reads. */
export const OWN_READ_VERSIONS: ReadVersions = {
  ranges: NEWEST_RANGE_VERSION,
  blocks: NEWEST_BLOCK_VERSION,
  rules: NEWEST_RULE_VERSION,
};

/**
 * What an agent tells of itself, beside that it lives. It is for display: nothing that assigns or
 * releases addresses reads it. Agents of releases before 0.2.0 tell none of it.
 */
export interface AgentReport {
  readonly version: string;
  /** Version of the plugin that sent the latest call. Absent before the first. */
  readonly plugin?: string;
  readonly healthy: boolean;
  /** Why not. Empty for a healthy agent. */
  readonly reasons: readonly string[];
  /** Calls of the runtime since the agent began. A failed one is not among those served. */
  readonly calls: { readonly served: number; readonly failed: number };
  /** Deferred teardowns. Absent where they cannot be counted. */
  readonly pending?: number;
  readonly reads: ReadVersions;
  /** When the agent told it, in milliseconds since 1970 by its clock. */
  readonly at: number;
}

/** Fields that a later release adds are kept, as in every record. */
export const agentReportSchema = v.looseObject({
  version: text,
  plugin: v.optional(text),
  healthy: v.boolean(),
  reasons: v.optional(v.array(v.string()), []),
  calls: v.looseObject({ served: count, failed: count }),
  pending: v.optional(count),
  reads: v.looseObject({ ranges: count, blocks: count, rules: count }),
  at: time,
});

export function agentReportOf(decoded: v.InferOutput<typeof agentReportSchema>): AgentReport {
  const { plugin, pending, ...rest } = decoded;
  return { ...rest, ...(plugin !== undefined && { plugin }), ...(pending !== undefined && { pending }) };
}

export const agentReportJson = ({ at, reasons, ...report }: AgentReport): object => ({
  ...report,
  ...(reasons.length > 0 && { reasons }),
  at: isoTime(at),
});
