import type { Family } from './address.ts';
import type { Keep } from './keep.ts';

/** Where the addresses come from. */
export interface Source {
  readonly node: string;
  /** Names of the ranges to choose from; absent: all. */
  readonly ranges?: readonly string[];
  /** Name of the rule that chose the ranges; absent: the network did. */
  readonly rule?: string;
  /** Whose own blocks the addresses come from: a rule's name; absent: those of the node. */
  readonly blocksOf?: string;
  /** Present if the pod's addresses are kept for when it is made again. */
  readonly keep?: Omit<Keep, 'since'>;
}

/** What a pod requests from IPAM. */
export interface Demand extends Source {
  /** One address of each family: all or none (rule 2), all from ranges of one VLAN. */
  readonly families: readonly Family[];
}
