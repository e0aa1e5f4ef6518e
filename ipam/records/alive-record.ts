import * as v from 'valibot';
import type { UnknownFields } from '../model/unknown-fields.ts';
import { agentReportJson, agentReportOf, agentReportSchema, type AgentReport } from './agent-report.ts';
import { decode, isoTime, schemaVersion, SCHEMA_VERSION, text, time, unknownFieldsOf } from './codec.ts';

/** One key for each node whose agent lives, attached to a lease of etcd. */
export const ALIVE = 'alive/';

/** How long the key outlives the last sign of its agent, in milliseconds. */
export const ALIVE_TTL_MS = 60_000;

export const aliveKey = (node: string): string => `${ALIVE}${node}`;

const aliveRecord = v.looseObject({
  v: schemaVersion,
  machine: text,
  bootId: text,
  since: time,
  idle: v.optional(v.literal(true)),
  agent: v.optional(agentReportSchema),
});

/**
 * An agent that lives under a node's name. It tells operators of life and never decides who owns an
 * address: an agent that etcd has not heard of may be cut off, stopped or not installed while its
 * pods live. The machine record decides (`machine-record.ts`).
 */
export interface AliveRecord {
  /** ID of the machine. */
  readonly machine: string;
  readonly bootId: string;
  /** When the agent began, in milliseconds since 1970. */
  readonly since: number;
  /** Present if reconciling is off: the agent clears nothing away. */
  readonly idle?: true;
  /** Absent for an agent of a release before 0.2.0. */
  readonly agent?: AgentReport;
  readonly unknownFields?: UnknownFields;
}

export function encodeAliveRecord({ since, unknownFields, agent, ...known }: AliveRecord): string {
  return JSON.stringify({
    v: SCHEMA_VERSION,
    ...known,
    since: isoTime(since),
    ...(agent && { agent: agentReportJson(agent) }),
    ...unknownFields,
  });
}

/** @throws IpamError `corrupt-record` */
export function decodeAliveRecord(key: string, value: string): AliveRecord {
  const { v: _, machine, bootId, since, idle, agent, ...rest } = decode(aliveRecord, key, value);
  return {
    machine,
    bootId,
    since,
    ...(idle && { idle }),
    ...(agent && { agent: agentReportOf(agent) }),
    ...unknownFieldsOf(rest),
  };
}
