import type { Address, Cidr } from '../model/address.ts';
import type { CellState } from './cells.ts';

export const FOUND_KINDS = ['address', 'block', 'range', 'node', 'rule', 'namespace', 'pod'] as const;
export type FoundKind = (typeof FOUND_KINDS)[number];

/** Something that a search found. */
export interface Found {
  readonly kind: FoundKind;
  /** The address, the subnet, the name; of a pod `NAMESPACE/NAME`. */
  readonly text: string;
  /** 0: it is the very text; 1: it begins with it; 2: it contains it. */
  readonly fit: 0 | 1 | 2;
  readonly range?: string;
  readonly block?: Cidr;
  /** Of an address, and of a pod. */
  readonly address?: Address;
  readonly state?: CellState;
  /** Holder of a block. */
  readonly holder?: string;
  /** How many addresses a pod of the namespace, the node or the rule's blocks have. */
  readonly addresses?: number;
  /** How many blocks the node or the rule holds. */
  readonly blocks?: number;
}

/** What is searched for. */
export interface Wanted {
  /** In small letters. */
  readonly text: string;
  readonly kind: FoundKind | undefined;
}

/** Returns how well a name fits; undefined: not at all. */
export function fitOf(name: string, text: string): Found['fit'] | undefined {
  const at = name.toLowerCase().indexOf(text);
  if (at < 0) return undefined;
  return at > 0 ? 2 : name.length === text.length ? 0 : 1;
}
