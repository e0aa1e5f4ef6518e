import { cidrContains, formatAddress, parseAddress } from '../ipam/address.ts';
import { type Ipam } from '../ipam/allocator.ts';
import { readRanges } from '../ipam/records.ts';
import { audit, type Audit, type AuditedAllocation, type AuditedPod } from '../ipam/audit.ts';
import { usedSlots } from '../ipam/block.ts';
import { IpamError } from '../ipam/errors.ts';
import { scanBlocks } from '../ipam/inventory.ts';
import type { KubeApi, Pod } from './kube/api.ts';

/**
 * One observation: allocations first, pods second (rule 6), so that a pod which is made meanwhile is never taken for a
 * leak. Both lists are whole, or this rejects.
 */
export async function observe(ipam: Ipam, kube: KubeApi, onProgress: (pods: number) => void): Promise<Audit> {
  const ranges = (await readRanges(ipam.store)).map(({ range }) => range.cidr);
  const allocations: AuditedAllocation[] = [];
  for await (const page of scanBlocks(ipam)) {
    for (const { block } of page) {
      for (const { address, slot } of usedSlots(block)) {
        allocations.push({ address, node: block.node, range: block.range, slot });
      }
    }
  }
  const { pods } = await kube.listPods({ onProgress });
  return audit(allocations, pods.map(auditedPod), (ip) => {
    const address = parseAddress(ip);
    return ranges.some((cidr) => cidrContains(cidr, address));
  });
}

/** Addresses in the one text that both sides compare. */
export function auditedPod(pod: Pod): AuditedPod {
  return { ...pod, podIPs: pod.podIPs.map(canonical) };
}

function canonical(ip: string): string {
  try {
    return formatAddress(parseAddress(ip));
  } catch (cause) {
    throw new IpamError(
      'invalid',
      `the API server names an address '${ip}' of a pod: expected an IP address`,
      { cause },
    );
  }
}
