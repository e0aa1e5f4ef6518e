import * as v from 'valibot';
import type { AuditedAllocation, Leak, LeakReason } from '../../ipam/audit/judge.ts';
import { parseAddress } from '../../ipam/model/address.ts';
import { expectedOf } from '../../ipam/model/block.ts';
import { blockAt, type Range } from '../../ipam/model/range.ts';
import { sequence } from '../../ipam/records/codec.ts';
import { decodeValue } from '../../ipam/records/decode.ts';
import { blockKey } from '../../ipam/records/keys.ts';
import { CommandError } from '../context/errors.ts';
import type { ProvenLeak } from './release-leaks.ts';

/** The findings of `check`, as scripts read them and `--save` stores them. */
const text = v.string();
const podSchema = v.nullable(
  v.object({ namespace: v.nullable(text), name: v.nullable(text), uid: v.nullable(text) }),
);
const whichSchema = v.object({
  ip: text,
  range: text,
  containerId: text,
  ifname: text,
  sequence,
});
const leakSchema = v.object({
  ...whichSchema.entries,
  node: text,
  network: text,
  pod: podSchema,
  allocatedAt: text,
  reason: text,
  /** The newer sandbox's allocation, when the reason is `superseded`. */
  supersededBy: v.optional(whichSchema),
  /** Why it is not released though it leaked: its node has another name in the cluster. */
  withheld: v.optional(v.literal('two-names')),
});
const reportSchema = v.object({
  kind: v.literal('cellnet-check'),
  version: v.literal(1),
  /** The etcd prefix of the records that the report covers. */
  etcdPrefix: text,
  /**
   * UID of the namespace kube-system, which identifies the cluster. Null when it may not be read.
   */
  cluster: v.nullable(text),
  server: text,
  /** Why the API server may be another cluster's; null when it is not. */
  clusterProblem: v.optional(v.nullable(text)),
  checkedAt: text,
  leaked: v.array(leakSchema),
});

export type LeakRecord = v.InferOutput<typeof leakSchema>;
export type SavedReport = v.InferOutput<typeof reportSchema>;

export interface ReportSource {
  readonly etcdPrefix: string;
  readonly cluster: string | null;
  readonly server: string;
  readonly clusterProblem: string | null;
}

/** @throws CommandError that names the field when the file is not a report of `cnictl check` */
export function parseReport(content: string, file: string): SavedReport {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (cause) {
    throw new CommandError(`${file} is not JSON`, 'Name a report that `cnictl check --save` wrote.', {
      cause,
    });
  }
  const result = decodeValue(reportSchema, json);
  if (result.ok) return result.value;
  throw new CommandError(
    `${file} is no report of cnictl check: ${result.problem.message}`,
    'Name a report that `cnictl check --save` wrote.',
  );
}

/** Identifies exactly one allocation. */
export type Which = v.InferOutput<typeof whichSchema>;

const whichText = ({ ip, containerId, ifname, sequence }: Which): string =>
  `${ip} ${containerId} ${ifname} ${sequence}`;

/** Returns the leaks that all reports name, as the last report states them. */
export function intersect(reports: readonly SavedReport[]): LeakRecord[] {
  const last = reports.at(-1)?.leaked ?? [];
  const others = reports.slice(0, -1).map(({ leaked }) => new Set(leaked.map(whichText)));
  return last.filter((leak) => others.every((report) => report.has(whichText(leak))));
}

/**
 * Locates a report's leaks. Leaves out leaks of a removed range, because no address of it is
 * allocated.
 */
export function provenLeaksOf(leaks: readonly LeakRecord[], ranges: readonly Range[]): ProvenLeak[] {
  const byName = new Map(ranges.map((range) => [range.name, range]));
  const place = (
    which: Which & { readonly allocatedAt?: string },
  ): Omit<ProvenLeak, 'reason'> | undefined => {
    const range = byName.get(which.range);
    if (!range) return undefined;
    const address = parseAddress(which.ip, 'address of the report');
    const { containerId, ifname, sequence, allocatedAt } = which;
    return {
      address,
      range: range.name,
      blockKey: blockKey(range.name, blockAt(range, address)),
      expected: {
        containerId,
        ifname,
        sequence,
        ...(allocatedAt !== undefined && { allocatedAt: Date.parse(allocatedAt) }),
      },
    };
  };
  return leaks.flatMap((leak) => {
    const placed = place(leak);
    const supersededBy = leak.supersededBy && place(leak.supersededBy);
    if (!placed) return [];
    return [{ ...placed, reason: leak.reason as LeakReason, ...(supersededBy && { supersededBy }) }];
  });
}

/** Does the same for a leak that a check has just found. */
export function provenLeakOf({ allocation, reason, supersededBy }: Leak): ProvenLeak {
  const { range } = allocation;
  return {
    ...expectedAt(allocation),
    range,
    reason,
    ...(supersededBy && { supersededBy: expectedAt(supersededBy) }),
  };
}

function expectedAt({
  address,
  blockKey: key,
  slot,
}: AuditedAllocation): Pick<ProvenLeak, 'address' | 'blockKey' | 'expected'> {
  return { address, blockKey: key, expected: expectedOf(slot) };
}
