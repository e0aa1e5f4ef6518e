import { formatAddress, type Address } from '../model/address.ts';
import type { UsedSlot } from '../model/block.ts';
import { canonicalIp } from './address-key.ts';

/** What the audit knows of a pod: from the API server, already decoded. */
export interface AuditedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /**
   * Annotation `kubernetes.io/config.hash` of a static pod's mirror: the kubelet passes it as K8S_POD_UID at ADD, in place
   * of {@link uid}.
   */
  readonly configHash?: string;
  /** The node it was scheduled to; absent before that. */
  readonly nodeName?: string;
  /** Pending, Running, Succeeded, Failed or Unknown. Only Succeeded and Failed mean that it has ended. */
  readonly phase: string;
  /** True: it uses the node's own addresses, and none of ours. */
  readonly hostNetwork: boolean;
  /** As the kubelet reported them, which comes after the ADD: empty does not mean that it has none. */
  readonly podIPs: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface AuditedAllocation {
  readonly address: Address;
  readonly node: string;
  readonly range: string;
  /** The block's key in etcd. */
  readonly blockKey: string;
  readonly slot: UsedSlot;
}

export type LeakReason =
  /** No pod has the UID, nor the name. */
  | 'pod-gone'
  /** The same, and the API server has no such node any more. */
  | 'node-gone'
  /** The name belongs to a pod with another UID now. */
  | 'pod-replaced'
  /** The pod has run to its end (Succeeded or Failed). */
  | 'pod-finished'
  /** The pod uses its host's network: it has no address of ours. */
  | 'host-network'
  /** The pod has a newer sandbox, whose address it says it has, and not this one. */
  | 'superseded';

export interface Leak {
  readonly allocation: AuditedAllocation;
  readonly reason: LeakReason;
  /** The newer sandbox's allocation, where the reason is `superseded`. */
  readonly supersededBy?: AuditedAllocation;
}

/** A running pod that says it has an address of our ranges, which etcd does not hold for it. */
export interface Missing {
  readonly ip: string;
  readonly pod: AuditedPod;
  /** Who has the address in etcd, if somebody else does. */
  readonly heldBy?: AuditedAllocation;
}

/** One address that several running pods say they have. */
export interface Conflict {
  readonly ip: string;
  readonly pods: readonly AuditedPod[];
}

const FINISHED = new Set(['Succeeded', 'Failed']);

/** What becomes of a pod's addresses. */
export type PodState = 'alive' | 'pod-finished' | 'host-network';

export function stateOf(pod: Pick<AuditedPod, 'hostNetwork' | 'phase'>): PodState {
  if (pod.hostNetwork) return 'host-network';
  return FINISHED.has(pod.phase) ? 'pod-finished' : 'alive';
}

/** Whether the pod's own word on its addresses counts. */
export const claimsAddresses = (pod: Pick<AuditedPod, 'hostNetwork' | 'phase'>): boolean =>
  !pod.hostNetwork && pod.phase === 'Running';

export const podNameOf = (pod: { readonly namespace: string; readonly name: string }): string =>
  `${pod.namespace}/${pod.name}`;

/** Its addresses in the one text that both sides compare. @throws IpamError `invalid` */
export const canonicalPod = (pod: AuditedPod): AuditedPod => ({
  ...pod,
  podIPs: pod.podIPs.map(canonicalIp),
});

/** Namespace and name of the pod that an allocation was made for; undefined where the runtime told neither. */
export function ownerName({ slot: { owner } }: Pick<AuditedAllocation, 'slot'>): string | undefined {
  const { podNamespace, podName } = owner;
  return podNamespace === undefined || podName === undefined ? undefined : `${podNamespace}/${podName}`;
}

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
    byName.set(podNameOf(pod), pod);
  }
  return { byUid, byName };
}

export type Verdict =
  | { readonly kind: 'in-use'; readonly pod: AuditedPod }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'leaked'; readonly reason: LeakReason };

/** Whether an allocation is anybody's, given pods that were listed after it (rule 6: missing data means in use). */
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

/** Whether the allocation can be the pod's: what it does not say does not count against it. */
export function isHolder({ slot: { owner } }: Pick<AuditedAllocation, 'slot'>, pod: AuditedPod): boolean {
  if (owner.podUid !== undefined) return owner.podUid === pod.uid || owner.podUid === pod.configHash;
  if (owner.podName === undefined) return true;
  return owner.podName === pod.name && owner.podNamespace === pod.namespace;
}

/** What {@link isSuperseded} compares: of both allocations the same facts. */
export interface SandboxFacts {
  /** Equal for the same interface of the same network. */
  readonly networkInterface: string | number;
  readonly container: string | number;
  readonly node: string;
  readonly blockKey: string;
  readonly family: 4 | 6;
  readonly allocatedAt: number;
  readonly sequence: number;
  /** Whether the living pod says that it has the address. */
  readonly claimed: boolean;
}

/**
 * Whether the older of two allocations of one living, running pod is of a sandbox that was replaced. The kubelet runs one
 * sandbox of a pod at a time, so one of them is dead; which one is proven only where two witnesses agree. The order of
 * the allocations says it, but a clock that was set back turns it round: so within a block the sequence must say the same. And
 * the kubelet says it, by the addresses that it reports: it must name the newer, and must not name the older. By itself that
 * proves nothing either, for its report comes late, and never names what is on a secondary interface.
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

/** The same of two allocations as etcd has them, with their pod as the API server has it. */
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
