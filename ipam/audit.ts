import { formatAddress, type Address } from './address.ts';
import type { UsedSlot } from './block.ts';

/** What the audit knows of a pod: from the API server, already decoded. */
export interface AuditedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** A static pod's UID at ADD: the kubelet's hash, not the mirror pod's `metadata.uid`. */
  readonly configHash?: string;
  readonly nodeName?: string;
  /** Pending, Running, Succeeded, Failed or Unknown. */
  readonly phase: string;
  readonly hostNetwork: boolean;
  /** Canonical texts (RFC 5952). */
  readonly podIPs: readonly string[];
}

export interface AuditedAllocation {
  readonly address: Address;
  readonly node: string;
  readonly range: string;
  readonly slot: UsedSlot;
}

export type LeakReason =
  /** No pod has the UID, nor the name. */
  | 'pod-gone'
  /** The name belongs to a pod with another UID now. */
  | 'pod-replaced'
  /** The pod has run to its end (Succeeded or Failed). */
  | 'pod-finished'
  /** The pod uses its host's network: it has no address of ours. */
  | 'host-network';

export interface Suspect {
  readonly allocation: AuditedAllocation;
  readonly reason: LeakReason;
}

/** A running pod that says it has an address of our ranges, which etcd does not hold for it. */
export interface Missing {
  readonly ip: string;
  readonly pod: AuditedPod;
  /** Who has the address in etcd, if somebody else does. */
  readonly heldBy?: AuditedAllocation;
}

export interface Audit {
  readonly allocated: number;
  readonly pods: number;
  readonly leaked: readonly Suspect[];
  /** Allocations without a pod's name or UID: nothing proves them leaked, so they are in use. */
  readonly unknown: readonly AuditedAllocation[];
  readonly missing: readonly Missing[];
}

const FINISHED = new Set(['Succeeded', 'Failed']);

/** Pods by what an allocation knows of them. */
export interface PodIndex {
  readonly byUid: ReadonlyMap<string, AuditedPod>;
  readonly byName: ReadonlyMap<string, AuditedPod>;
}

export function indexPods(pods: readonly AuditedPod[]): PodIndex {
  const byUid = new Map<string, AuditedPod>();
  const byName = new Map<string, AuditedPod>();
  for (const pod of pods) {
    byUid.set(pod.uid, pod);
    if (pod.configHash !== undefined) byUid.set(pod.configHash, pod);
    byName.set(`${pod.namespace}/${pod.name}`, pod);
  }
  return { byUid, byName };
}

export type Verdict =
  { kind: 'in-use'; pod: AuditedPod } | { kind: 'unknown' } | { kind: 'leaked'; reason: LeakReason };

/** Whether an allocation is anybody's, given pods that were listed after it (rule 6: missing data means in use). */
export function judge(allocation: AuditedAllocation, pods: PodIndex): Verdict {
  const { podUid, podNamespace, podName } = allocation.slot.owner;
  const name = podNamespace !== undefined && podName !== undefined ? `${podNamespace}/${podName}` : undefined;
  if (podUid === undefined && name === undefined) return { kind: 'unknown' };
  const named = name === undefined ? undefined : pods.byName.get(name);
  const pod = podUid === undefined ? named : pods.byUid.get(podUid);
  if (!pod) return { kind: 'leaked', reason: named ? 'pod-replaced' : 'pod-gone' };
  if (pod.hostNetwork) return { kind: 'leaked', reason: 'host-network' };
  if (FINISHED.has(pod.phase)) return { kind: 'leaked', reason: 'pod-finished' };
  return { kind: 'in-use', pod };
}

/**
 * Compares what etcd holds with the pods, both ways. One observation only: what it suspects is proven by a
 * second one a grace later ({@link confirm}).
 * @param isOurs whether an address text lies in one of our ranges
 */
export function audit(
  allocations: readonly AuditedAllocation[],
  pods: readonly AuditedPod[],
  isOurs: (ip: string) => boolean,
): Audit {
  const index = indexPods(pods);
  const leaked: Suspect[] = [];
  const unknown: AuditedAllocation[] = [];
  const holders = new Map<string, AuditedAllocation>();
  for (const allocation of allocations) {
    holders.set(formatAddress(allocation.address), allocation);
    const verdict = judge(allocation, index);
    if (verdict.kind === 'leaked') leaked.push({ allocation, reason: verdict.reason });
    if (verdict.kind === 'unknown') unknown.push(allocation);
  }
  const missing = pods.flatMap((pod) => missingOf(pod, holders, isOurs));
  return { allocated: allocations.length, pods: pods.length, leaked, unknown, missing };
}

function missingOf(
  pod: AuditedPod,
  holders: ReadonlyMap<string, AuditedAllocation>,
  isOurs: (ip: string) => boolean,
): Missing[] {
  if (pod.hostNetwork || pod.phase !== 'Running') return [];
  return pod.podIPs.flatMap((ip) => {
    if (!isOurs(ip)) return [];
    const heldBy = holders.get(ip);
    if (!heldBy) return [{ ip, pod }];
    return isHolder(heldBy, pod) ? [] : [{ ip, pod, heldBy }];
  });
}

/** Whether the allocation can be the pod's: what it does not say does not count against it. */
function isHolder({ slot: { owner } }: AuditedAllocation, pod: AuditedPod): boolean {
  if (owner.podUid !== undefined) return owner.podUid === pod.uid || owner.podUid === pod.configHash;
  if (owner.podName === undefined) return true;
  return owner.podName === pod.name && owner.podNamespace === pod.namespace;
}

const allocationId = ({ address, slot }: AuditedAllocation): string =>
  `${formatAddress(address)} ${slot.owner.containerId} ${slot.owner.ifname} ${slot.sequence}`;

/** What both observations found, told by the second. An allocation that changed hands between is not the same. */
export function confirm(first: Audit, second: Audit): Audit {
  const suspected = new Set(first.leaked.map(({ allocation }) => allocationId(allocation)));
  const missed = new Set(first.missing.map(({ ip, pod }) => `${ip} ${pod.uid}`));
  return {
    ...second,
    leaked: second.leaked.filter(({ allocation }) => suspected.has(allocationId(allocation))),
    missing: second.missing.filter(({ ip, pod }) => missed.has(`${ip} ${pod.uid}`)),
  };
}
