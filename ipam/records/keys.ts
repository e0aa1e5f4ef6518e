import { formatCidr, parseCidr, type Cidr } from '../model/address.ts';

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

/** Returns the subnet text of a block's key, `10.20.0.16/28`. */
export const cidrTextOfBlockKey = (key: string): string => key.split('/').slice(2).join('/');

/**
 * Returns the subnet that a key of a block or of a node's index names; undefined for other keys.
 */
export function cidrOfKey(key: string): Cidr | undefined {
  try {
    return parseCidr(cidrTextOfBlockKey(key));
  } catch {
    return undefined;
  }
}
