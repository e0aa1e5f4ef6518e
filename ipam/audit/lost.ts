import { cidrContains, cidrSpan, formatCidr, spansOverlap, type Cidr } from '../model/address.ts';
import type { Range } from '../model/range.ts';
import type { Lost, LostNode } from '../records/lost-record.ts';

/** Returns whether the range has every address of the subnet. */
const covers = ({ cidr }: Range, subnet: Cidr): boolean =>
  cidr.prefixLength <= subnet.prefixLength && cidrContains(cidr, subnet.base);

/**
 * Returns the nodes with the subnets that no range has. Leaves out what a node lost and a range has
 * again: its agent has not looked yet.
 */
export function stillLost(lost: Lost, ranges: readonly Range[]): Lost {
  const nodes = lost.nodes.flatMap((node): LostNode[] => {
    const subnets = node.subnets.filter(({ cidr }) => !ranges.some((range) => covers(range, cidr)));
    return subnets.length > 0 ? [{ ...node, subnets }] : [];
  });
  return { ...lost, nodes };
}

/** A subnet that etcd forgot, summed over the nodes that lost it. */
export interface LostTotal {
  readonly cidr: Cidr;
  readonly attachments: number;
  /** Sorted. */
  readonly nodes: readonly string[];
}

/** @param within counts only subnets that overlap with this one */
export function lostTotals({ nodes }: Pick<Lost, 'nodes'>, within?: Cidr): LostTotal[] {
  const totals = new Map<string, LostTotal>();
  for (const { node, subnets } of nodes) {
    for (const { cidr, attachments } of subnets) {
      if (within && !spansOverlap(cidrSpan(cidr), cidrSpan(within))) continue;
      const text = formatCidr(cidr);
      const before = totals.get(text);
      totals.set(text, {
        cidr,
        attachments: (before?.attachments ?? 0) + attachments,
        nodes: [...(before?.nodes ?? []), node].sort(),
      });
    }
  }
  return [...totals.values()];
}

const NODES_NAMED = 5;

/** `12 attachments on node-1, node-2 have addresses of 10.20.0.0/22` */
export function lostText({ cidr, attachments, nodes }: LostTotal): string {
  const more = nodes.length > NODES_NAMED ? ` and ${nodes.length - NODES_NAMED} more nodes` : '';
  const [what, have] = attachments === 1 ? ['attachment', 'has'] : ['attachments', 'have'];
  return `${attachments} ${what} on ${nodes.slice(0, NODES_NAMED).join(', ')}${more} ${have} addresses of ${formatCidr(cidr)}`;
}
