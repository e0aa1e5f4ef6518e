import * as v from 'valibot';
import { formatAddress } from '../ipam/address.ts';
import type { Audit, AuditedAllocation, Missing, Suspect } from '../ipam/audit.ts';
import { decodeValue } from '../ipam/decode.ts';
import { podJson } from './commands/ip.ts';
import { CommandError } from './errors.ts';

/** What `check` found, as scripts read it and as `--save` keeps it. */
const text = v.string();
const podSchema = v.nullable(
  v.object({ namespace: v.nullable(text), name: v.nullable(text), uid: v.nullable(text) }),
);
const leakSchema = v.object({
  ip: text,
  range: text,
  node: text,
  containerId: text,
  ifname: text,
  network: text,
  sequence: v.number(),
  pod: podSchema,
  allocatedAt: text,
  reason: text,
});
const reportSchema = v.object({
  kind: v.literal('cellnet-check'),
  version: v.literal(1),
  /** Which etcd records it is about. */
  etcdPrefix: text,
  /** UID of the namespace kube-system: the cluster's identity. Null where it may not be read. */
  cluster: v.nullable(text),
  server: text,
  checkedAt: text,
  leaked: v.array(leakSchema),
});

export type Leak = v.InferOutput<typeof leakSchema>;
export type SavedReport = v.InferOutput<typeof reportSchema>;

export interface ReportSource {
  readonly etcdPrefix: string;
  readonly cluster: string | null;
  readonly server: string;
}

export function reportJson(audit: Audit, source: ReportSource, now: number): SavedReport & object {
  return {
    kind: 'cellnet-check',
    version: 1,
    ...source,
    checkedAt: new Date(now).toISOString(),
    ...{
      counts: {
        allocated: audit.allocated,
        pods: audit.pods,
        leaked: audit.leaked.length,
        unknown: audit.unknown.length,
        missing: audit.missing.length,
      },
    },
    leaked: audit.leaked.map(leakJson),
    ...{ missing: audit.missing.map(missingJson), unknown: audit.unknown.map(allocationJson) },
  };
}

function leakJson({ allocation, reason }: Suspect): Leak {
  return { ...allocationJson(allocation), reason };
}

function allocationJson({ address, node, range, slot }: AuditedAllocation): Omit<Leak, 'reason'> {
  return {
    ip: formatAddress(address),
    range,
    node,
    containerId: slot.owner.containerId,
    ifname: slot.owner.ifname,
    network: slot.owner.network,
    sequence: slot.sequence,
    pod: podJson(slot.owner) as Leak['pod'],
    allocatedAt: new Date(slot.allocatedAt).toISOString(),
  };
}

function missingJson({ ip, pod, heldBy }: Missing): object {
  const { namespace, name, uid, nodeName } = pod;
  return {
    ip,
    node: nodeName ?? null,
    pod: { namespace, name, uid },
    heldBy: heldBy ? allocationJson(heldBy) : null,
  };
}

/** @throws CommandError where the file is no report of ours, naming the field */
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
