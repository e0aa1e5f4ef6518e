import type { IndexFinding } from '../../ipam/audit/index-audit.ts';
import { isMissing } from '../../ipam/audit/key-pair.ts';
import type { AuditedAllocation, AuditedPod, Conflict, Leak, Missing } from '../../ipam/audit/judge.ts';
import { lostText, lostTotals } from '../../ipam/audit/lost.ts';
import type { NodeAlias } from '../../ipam/audit/node-alias.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import { nodePrefix } from '../../ipam/records/keys.ts';
import { lostKey, type LostNode } from '../../ipam/records/lost-record.ts';
import { podJson } from '../render/pod.ts';
import { doubtedNodes, type Findings } from './findings.ts';
import type { KeptFinding } from './kept.ts';
import type { LeakRecord, ReportSource, SavedReport, Which } from './report.ts';

/**
 * Returns what `check` prints as JSON and `--save` stores.
 * @param now milliseconds since 1970
 */
export function reportJson(found: Findings, source: ReportSource, now: number): SavedReport & object {
  const records = recordsJson(found, now);
  const doubted = doubtedNodes(found);
  return {
    kind: 'cellnet-check',
    version: 1,
    ...source,
    checkedAt: new Date(now).toISOString(),
    ...{
      counts: {
        allocated: found.allocated,
        pods: found.pods,
        leaked: found.leaked.length,
        unknown: found.unknown.length,
        missing: found.missing.length,
        noRange: found.missing.filter(({ reason }) => reason === 'no-range').length,
        conflicts: found.conflicts.length,
        records: records.length,
        scaledDown: found.kept.filter(({ reason }) => reason === 'scaled-down').length,
        orphaned: found.kept.filter(({ reason }) => reason === 'orphaned').length,
      },
    },
    leaked: found.leaked.map((leak) => leakJson(leak, doubted.has(leak.allocation.node), now)),
    ...{
      missing: found.missing.map((missing) => missingJson(missing, now)),
      conflicts: found.conflicts.map((conflict) => conflictJson(conflict, now)),
      records,
      kept: found.kept.map((kept) => keptJson(kept, now)),
      keptProblem: found.keptProblem ?? null,
      unknown: found.unknown.map((allocation) =>
        aged(allocationJson(allocation), allocation.slot.allocatedAt, now),
      ),
    },
  };
}

/** Whole seconds. The age is never negative, even after the clock was set back. */
const ageSeconds = (since: number, now: number): number => Math.max(0, Math.floor((now - since) / 1000));

const aged = <T extends object>(what: T, since: number, now: number): T & { ageSeconds: number } => ({
  ...what,
  ageSeconds: ageSeconds(since, now),
});

function leakJson({ allocation, reason, supersededBy }: Leak, withheld: boolean, now: number): LeakRecord {
  const { allocatedAt } = allocation.slot;
  return {
    ...aged({ ...allocationJson(allocation), reason }, allocatedAt, now),
    ...(supersededBy && { supersededBy: whichJson(supersededBy) }),
    ...(withheld && { withheld: 'two-names' }),
  };
}

function whichJson({ address, range, slot }: AuditedAllocation): Which {
  const { containerId, ifname } = slot.owner;
  return { ip: formatAddress(address), range, containerId, ifname, sequence: slot.sequence };
}

function allocationJson(
  allocation: AuditedAllocation,
): Omit<LeakRecord, 'reason' | 'supersededBy' | 'withheld'> {
  const { address, node, range, slot } = allocation;
  return {
    ip: formatAddress(address),
    range,
    node,
    containerId: slot.owner.containerId,
    ifname: slot.owner.ifname,
    network: slot.owner.network,
    sequence: slot.sequence,
    pod: podJson(slot.owner) as LeakRecord['pod'],
    allocatedAt: new Date(slot.allocatedAt).toISOString(),
  };
}

function missingJson({ ip, pod, reason, heldBy }: Missing, now: number): object {
  const { namespace, name, uid, nodeName, createdAt } = pod;
  return {
    ip,
    node: nodeName ?? null,
    pod: { namespace, name, uid },
    heldBy: heldBy ? allocationJson(heldBy) : null,
    reason,
    since: createdAt,
    ageSeconds: ageSeconds(Date.parse(createdAt), now),
  };
}

/** Returns the earliest possible start of the conflict, in milliseconds since 1970. */
export function conflictSince({ pods }: Conflict): number {
  const created = pods.map(({ createdAt }: AuditedPod) => Date.parse(createdAt)).sort((a, b) => a - b);
  return created[1] ?? 0;
}

function conflictJson(conflict: Conflict, now: number): object {
  const since = conflictSince(conflict);
  return {
    ip: conflict.ip,
    reason: 'claimed-twice',
    pods: conflict.pods.map(({ namespace, name, uid, nodeName }) => ({
      namespace,
      name,
      uid,
      node: nodeName ?? null,
    })),
    since: new Date(since).toISOString(),
    ageSeconds: ageSeconds(since, now),
  };
}

function keptJson(finding: KeptFinding, now: number): object {
  const { kept, isDue, dueAt, reason } = finding;
  const { pod, keep, keptAt, sequence, scaledDownAt } = kept.slot;
  const set = reason === 'scaled-down' ? finding.set : undefined;
  const time = (at: number | undefined): string | null =>
    at === undefined ? null : new Date(at).toISOString();
  const json = {
    ip: formatAddress(kept.address),
    ...{ range: kept.range, node: kept.node },
    pod: { namespace: pod.namespace, name: pod.name },
    ...{ ifname: pod.ifname, rule: keep.rule, sequence, reason },
    statefulSet: set && { name: set.name, replicas: set.replicas, start: set.start },
    ...{ keptAt: time(keptAt), scaledDownAt: time(scaledDownAt), due: isDue, dueAt: time(dueAt) },
  };
  return aged({ ...json, statefulSet: json.statefulSet ?? null }, keptAt, now);
}

/** A record in etcd that is wrong. */
export interface RecordRow {
  readonly key: string;
  readonly reason: string;
  readonly node: string | null;
  readonly message: string;
  /** RFC 3339; null when the record carries no time. */
  readonly since: string | null;
  readonly ageSeconds: number | null;
}

/**
 * Returns keys that disagree, unreliable records, blocks of removed nodes, and nodes with two
 * names, in one list.
 */
export function recordsJson(found: Findings, now: number): RecordRow[] {
  const { index, records, stranded, aliases, lost } = found;
  const row = (
    key: string,
    reason: string,
    node: string | undefined,
    message: string,
    since?: number,
  ): RecordRow => ({
    key,
    reason,
    node: node ?? null,
    message,
    since: since === undefined ? null : new Date(since).toISOString(),
    ageSeconds: since === undefined ? null : ageSeconds(since, now),
  });
  return [
    ...records.map((each) => row(each.key, each.reason, each.node, each.message, each.since)),
    ...index.map((each) => row(keyOf(each), each.reason, each.node, indexText(each), each.since)),
    ...stranded.map((each) =>
      row(each.key, 'node-gone', each.node, `the API server knows no node '${each.node}'`, each.since),
    ),
    ...lost.nodes.map((each) => row(lostKey(each.node), 'lost', each.node, lostNodeText(each), each.at)),
    ...lost.unreadable.map(({ key, reason }) => row(key, 'unreadable', undefined, reason)),
    ...aliases.map((each) => row(nodePrefix(each.node), 'two-names', each.node, aliasText(each))),
  ];
}

const lostNodeText = (node: LostNode): string =>
  `${lostTotals({ nodes: [node] })
    .map(lostText)
    .join('; ')}, which is in no range of etcd`;

const aliasText = ({ clusterNode, pod }: NodeAlias): string =>
  `in the cluster its machine is node '${clusterNode}', where pod ${pod} runs with an address of it`;

const keyOf = ({ reason, indexKey, blockKey: key }: IndexFinding): string =>
  isMissing(reason) ? key : indexKey;

function indexText({ reason, indexKey, blockKey: key, node }: IndexFinding): string {
  switch (reason) {
    case 'no-index':
      return `node '${node}' does not know of it: expected key '${indexKey}'`;
    case 'no-block':
      return `there is no key '${key}'`;
    case 'wrong-node':
      return `key '${key}' is not of node '${node}'`;
    case 'no-key':
      return `pods do not find what it keeps, or has room for: expected key '${indexKey}', which leads there`;
    case 'stale-key':
      return `it leads to key '${key}', which has nothing of it`;
  }
}
