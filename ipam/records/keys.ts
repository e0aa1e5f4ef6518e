import { formatCidr, parseAddressInSubnet, subnetOf, type Cidr } from '../model/address.ts';

/** Keys in etcd, below the configured prefix and `v1/`; docs/etcd-records.md describes them. */
export const RANGES = 'ranges/';
export const BLOCKS = 'blocks/';
export const NODES = 'nodes/';
export const HISTORY = 'history/';

export const rangeKey = (name: string): string => `${RANGES}${name}`;
export const blocksOfRange = (range: string): string => `${BLOCKS}${range}/`;
export const blockKey = (range: string, cidr: Cidr): string => `${blocksOfRange(range)}${formatCidr(cidr)}`;
export const nodePrefix = (node: string): string => `${NODES}${node}/`;
export const nodeKey = (node: string, cidr: Cidr): string => `${nodePrefix(node)}${formatCidr(cidr)}`;

/** Returns the subnet text of a block's key or of an index key, `10.20.0.16/28`. */
export const cidrTextOf = (key: string): string => key.split('/').slice(2).join('/');

/**
 * Returns the subnet that a block's key names, whatever its value; undefined if it names none. A
 * key with host bits, which no program writes, counts as its whole subnet.
 */
export function cidrOfBlockKey(key: string): Cidr | undefined {
  try {
    const { address, prefixLength } = parseAddressInSubnet(cidrTextOf(key));
    return subnetOf(address, prefixLength);
  } catch {
    return undefined;
  }
}

/** Returns the name of the range that a block's key names. */
export const rangeNameOfBlockKey = (key: string): string => key.split('/')[1] ?? '';
