import { indexPods, judge, type AuditedPod } from '../../ipam/audit/judge.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import { mayBeSameNode } from '../../ipam/model/node-name.ts';
import type { HeldAddress } from '../../ipam/query/pod-trace.ts';

/** A disagreement between etcd and the API server about one pod. */
export interface Mismatch {
  /** A reason of a leak (`pod-gone`, …), `other-node`, `not-reported` or `not-held`. */
  readonly kind: string;
  readonly ip: string;
  readonly message: string;
}

/** An address of our ranges that the pod reports and etcd does not hold for it. */
export interface NotHeld {
  readonly ip: string;
  /** The address's state in etcd, in words. */
  readonly state: string;
}

const LEAKS: Readonly<Record<string, string>> = {
  'pod-gone': 'the API server has no such pod',
  'pod-replaced': 'it was given to a pod of another UID',
  'pod-finished': 'the pod has run to its end',
  'host-network': "the pod uses its host's network",
};

/**
 * Compares what etcd holds for the pods of a name with the current pod of that name. This is one
 * observation; only `cnictl check` proves a leak.
 * @param pod undefined when the API server has no pod of that name
 */
export function findMismatches(
  held: readonly HeldAddress[],
  pod: AuditedPod | undefined,
  notHeld: readonly NotHeld[],
): Mismatch[] {
  const index = indexPods(pod ? [pod] : []);
  const ofHeld = held.flatMap((each): Mismatch[] => {
    const ip = formatAddress(each.address);
    const verdict = judge(each, index);
    if (verdict.kind === 'leaked') {
      const { reason } = verdict;
      const why = LEAKS[reason] ?? reason;
      return [{ kind: reason, ip, message: `${ip} is given out, and ${why}: look with cnictl check` }];
    }
    if (verdict.kind === 'unknown') return [];
    return ofLiving(ip, each, verdict.pod);
  });
  const ofPod = notHeld.map(({ ip, state }) => ({
    kind: 'not-held',
    ip,
    message: `the pod says it has ${ip}, and etcd does not hold it for the pod: it is ${state}`,
  }));
  return [...ofHeld, ...ofPod];
}

function ofLiving(ip: string, { node, slot }: HeldAddress, pod: AuditedPod): Mismatch[] {
  const mismatches: Mismatch[] = [];
  if (pod.nodeName !== undefined && !mayBeSameNode(pod.nodeName, node)) {
    const message = `${ip} was given out on node ${node}, and the pod is on ${pod.nodeName}: a machine with two names?`;
    mismatches.push({ kind: 'other-node', ip, message });
  }
  // The kubelet reports pod IPs some time after the ADD, and only those of eth0.
  if (slot.owner.ifname === 'eth0' && pod.podIPs.length > 0 && !pod.podIPs.includes(ip)) {
    const message = `${ip} is given out to the pod, which says it has ${pod.podIPs.join(', ')}`;
    mismatches.push({ kind: 'not-reported', ip, message });
  }
  return mismatches;
}
