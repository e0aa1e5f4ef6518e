import { canonicalPod, isHolder, usesAddresses, type AuditedPod } from '../../ipam/audit/judge.ts';
import { cidrContains, formatAddress, parseAddress, type Cidr } from '../../ipam/model/address.ts';
import { usedSlots, type Block } from '../../ipam/model/block.ts';

/** A pod that uses an address of the ranges, which these blocks do not hold for it. */
export interface Missing {
  readonly ip: string;
  readonly pod: AuditedPod;
}

/**
 * Returns what running pods would lack if etcd held only these blocks.
 * @param hidden subnets of blocks that cannot be read; every address in them counts as held
 * @throws IpamError `invalid` for a malformed address
 */
export function missingOf(
  blocks: readonly Block[],
  pods: readonly AuditedPod[],
  ranges: readonly Cidr[],
  hidden: readonly Cidr[] = [],
): Missing[] {
  const isIn = (cidrs: readonly Cidr[], ip: string): boolean =>
    cidrs.some((cidr) => cidrContains(cidr, parseAddress(ip)));
  const holders = new Map(
    blocks
      .flatMap((block) => usedSlots(block))
      .map(({ address, slot }) => [formatAddress(address), { slot }] as const),
  );
  return pods
    .filter(usesAddresses)
    .map(canonicalPod)
    .flatMap((pod) =>
      pod.podIPs
        .filter((ip) => isIn(ranges, ip) && !isIn(hidden, ip))
        .filter((ip) => {
          const holder = holders.get(ip);
          return !holder || !isHolder(holder, pod);
        })
        .map((ip) => ({ ip, pod })),
    );
}
