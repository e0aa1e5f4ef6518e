import { formatAddress, type Address } from '../model/address.ts';
import type { UsedSlot } from '../model/block.ts';
import { canonicalIp } from './address-key.ts';

/** What the audit knows of a pod, decoded from the API server. */
export interface AuditedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /**
   * Annotation `kubernetes.io/config.hash` of a static pod's mirror pod. The kubelet passes it as
   * K8S_POD_UID at ADD, instead of {@link uid}.
   */
  readonly configHash?: string;
  /** The node to which the pod was scheduled; absent before that. */
  readonly nodeName?: string;
  /** Pending, Running, Succeeded, Failed or Unknown. Only Succeeded and Failed mean an end. */
  readonly phase: string;
  /**
   * Whether the status of any container (init and ephemeral ones too) says that it runs. The
   * kubelet may write the phase Failed before it stops the containers (k8s#88613, k8s#108366).
   */
  readonly hasRunningContainer: boolean;
  /** RFC 3339: the time of the deletion request. The pod may still run. Absent without one. */
  readonly deletionTimestamp?: string;
  /** True if the pod uses the node's own addresses and none of IPAM's. */
  readonly hostNetwork: boolean;
  /** As the kubelet reported them, after the ADD: an empty list does not prove that it has none. */
  readonly podIPs: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface AuditedAllocation {
  readonly address: Address;
  readonly node: string;
  readonly range: string;
  /** Key of the block in etcd. */
  readonly blockKey: string;
  readonly slot: UsedSlot;
}

export type LeakReason =
  /** No pod has the UID or the name. */
  | 'pod-gone'
  /** As `pod-gone`, and the API server no longer has the node. */
  | 'node-gone'
  /** No pod has the UID, and the name belongs to a pod with another UID. */
  | 'pod-replaced'
  /** The pod has ended (Succeeded or Failed), and none of its containers runs. */
  | 'pod-finished'
  /** The pod uses its host's network, so it has no address of IPAM. */
  | 'host-network'
  /** The pod has a newer sandbox. It reports that sandbox's address and not this one. */
  | 'superseded';

export interface Leak {
  readonly allocation: AuditedAllocation;
  readonly reason: LeakReason;
  /** The newer sandbox's allocation, if the reason is `superseded`. */
  readonly supersededBy?: AuditedAllocation;
}

export type MissingReason =
  /** A range has the address, and etcd holds it for nobody. */
  | 'not-held'
  | 'held-by-another'
  /** No range of etcd has the address: etcd may have forgotten the range. */
  | 'no-range';

/** A running pod that reports an address that etcd does not hold for it. */
export interface Missing {
  readonly ip: string;
  readonly pod: AuditedPod;
  readonly reason: MissingReason;
  /** The allocation that holds the address in etcd, if another owner has it. */
  readonly heldBy?: AuditedAllocation;
}

/** One address that several running pods report. */
export interface Conflict {
  readonly ip: string;
  readonly pods: readonly AuditedPod[];
}

const FINISHED = new Set(['Succeeded', 'Failed']);

/** Whether a pod keeps its addresses. */
export type PodState = 'alive' | 'pod-finished' | 'host-network';

type Life = Pick<AuditedPod, 'hostNetwork' | 'phase' | 'hasRunningContainer' | 'deletionTimestamp'>;

export function stateOf(pod: Life): PodState {
  if (pod.hostNetwork) return 'host-network';
  return FINISHED.has(pod.phase) && !pod.hasRunningContainer ? 'pod-finished' : 'alive';
}

/**
 * Returns whether the addresses that the pod reports may be in use. A pod that is Terminating still
 * reports them after its DEL (k8s#93925); by then none of its containers runs.
 */
export const usesAddresses = ({
  hostNetwork,
  phase,
  hasRunningContainer,
  deletionTimestamp,
}: Life): boolean =>
  !hostNetwork && (hasRunningContainer || (phase === 'Running' && deletionTimestamp === undefined));

/**
 * Returns whether the audit expects etcd to hold the addresses that the pod reports. It does not
 * for a pod that is Terminating: the report of its last container comes later than its DEL.
 */
export const claimsAddresses = (pod: Life): boolean =>
  usesAddresses(pod) && pod.deletionTimestamp === undefined;

export const podNameOf = (pod: { readonly namespace: string; readonly name: string }): string =>
  `${pod.namespace}/${pod.name}`;

/** Returns the pod with its addresses in canonical text. @throws IpamError `invalid` */
export const canonicalPod = (pod: AuditedPod): AuditedPod => ({
  ...pod,
  podIPs: pod.podIPs.map(canonicalIp),
});

/**
 * Returns namespace and name of the pod that an allocation was made for; undefined unless the
 * runtime passed both.
 */
export function ownerName({ slot: { owner } }: Pick<AuditedAllocation, 'slot'>): string | undefined {
  const { podNamespace, podName } = owner;
  return podNamespace === undefined || podName === undefined ? undefined : `${podNamespace}/${podName}`;
}

/** Pods indexed by the fields that an allocation records. */
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
    byName.set(podNameOf(pod), pod);
  }
  return { byUid, byName };
}

export type Verdict =
  | { readonly kind: 'in-use'; readonly pod: AuditedPod }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'leaked'; readonly reason: LeakReason };

/**
 * Judges an allocation against pods that were listed after it was read (rule 6: missing data means
 * in use).
 */
export function judge(allocation: Pick<AuditedAllocation, 'slot'>, pods: PodIndex): Verdict {
  const { podUid } = allocation.slot.owner;
  const name = ownerName(allocation);
  if (podUid === undefined && name === undefined) return { kind: 'unknown' };
  const named = name === undefined ? undefined : pods.byName.get(name);
  const pod = podUid === undefined ? named : pods.byUid.get(podUid);
  if (!pod) return { kind: 'leaked', reason: named ? 'pod-replaced' : 'pod-gone' };
  const state = stateOf(pod);
  return state === 'alive' ? { kind: 'in-use', pod } : { kind: 'leaked', reason: state };
}

/** Returns whether the allocation can be the pod's. Missing fields do not count against it. */
export function isHolder({ slot: { owner } }: Pick<AuditedAllocation, 'slot'>, pod: AuditedPod): boolean {
  if (owner.podUid !== undefined) return owner.podUid === pod.uid || owner.podUid === pod.configHash;
  if (owner.podName === undefined) return true;
  return owner.podName === pod.name && owner.podNamespace === pod.namespace;
}

/** The facts of an allocation that {@link isSuperseded} compares. */
export interface SandboxFacts {
  /** Equal for the same interface of the same network. */
  readonly networkInterface: string | number;
  readonly container: string | number;
  readonly node: string;
  readonly blockKey: string;
  readonly family: 4 | 6;
  readonly allocatedAt: number;
  readonly sequence: number;
  /** Whether the living pod reports the address. */
  readonly claimed: boolean;
}

/**
 * Returns whether the older of two allocations of a living, running pod belongs to a replaced
 * sandbox. The kubelet runs one sandbox of a pod at a time, so one of them is dead. Which one is
 * proven only if two sources agree. The first is the order of the allocations; a clock that was set
 * back reverses it, so within a block the sequence must agree. The second is the kubelet's report:
 * it must name the newer address and not the older one. The report alone proves nothing, because it
 * comes late and never names the addresses of secondary interfaces.
 */
export function isSuperseded(older: SandboxFacts, newer: SandboxFacts): boolean {
  return (
    newer.claimed &&
    !older.claimed &&
    older.networkInterface === newer.networkInterface &&
    older.family === newer.family &&
    older.node === newer.node &&
    older.container !== newer.container &&
    older.allocatedAt < newer.allocatedAt &&
    (older.blockKey !== newer.blockKey || older.sequence < newer.sequence)
  );
}

/** As {@link isSuperseded}, for two allocations from etcd and their pod from the API server. */
export function isSupersededBy(older: AuditedAllocation, newer: AuditedAllocation, pod: AuditedPod): boolean {
  if (!claimsAddresses(pod) || older.slot.owner.podUid === undefined) return false;
  if (older.slot.owner.podUid !== newer.slot.owner.podUid || !isHolder(newer, pod)) return false;
  return isSuperseded(factsOf(older, pod), factsOf(newer, pod));
}

function factsOf(allocation: AuditedAllocation, pod: AuditedPod): SandboxFacts {
  const { address, node, blockKey, slot } = allocation;
  const { network, ifname, containerId } = slot.owner;
  return {
    networkInterface: `${network} ${ifname}`,
    container: containerId,
    node,
    blockKey,
    family: address.family,
    allocatedAt: slot.allocatedAt,
    sequence: slot.sequence,
    claimed: pod.podIPs.includes(formatAddress(address)),
  };
}
