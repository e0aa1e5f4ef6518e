import { formatCidr, type Cidr } from '../../ipam/model/address.ts';

/** Our own table: its family and its name, as nft takes them. */
export const TABLE = ['inet', 'cellnet'] as const;

/** Takes the table away. The first line keeps the second from failing where there is none. */
export const REMOVE_TABLE = `add table ${TABLE.join(' ')}\ndelete table ${TABLE.join(' ')}\n`;

/**
 * Returns the commands for `nft -f` that put our table in place of any former one, all in one
 * transaction of the kernel: the node masquerades connections to these ranges whose destination it
 * has changed itself, as kube-proxy and portmap make it do. The kernel asks this chain only for the
 * first packet of a connection.
 */
export function masqueradeTable(ranges: readonly Cidr[]): string {
  const of = (family: 4 | 6): string[] =>
    ranges
      .filter(({ base }) => base.family === family)
      .map(formatCidr)
      .sort();
  return `${REMOVE_TABLE}table ${TABLE.join(' ')} {
${set('ranges4', 'ipv4_addr', of(4))}
${set('ranges6', 'ipv6_addr', of(6))}
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip daddr @ranges4 masquerade fully-random
    ct status dnat ip6 daddr @ranges6 masquerade fully-random
  }
}
`;
}

/** nft takes no empty list of elements. */
const set = (name: string, type: string, elements: readonly string[]): string =>
  [
    `  set ${name} {`,
    `    type ${type}; flags interval;`,
    ...(elements.length > 0 ? [`    elements = { ${elements.join(', ')} }`] : []),
    '  }',
  ].join('\n');
