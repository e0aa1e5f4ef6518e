import type { Family } from './address.ts';

/** Where addresses are to come from. */
export interface Source {
  readonly node: string;
  /** Names of the ranges to choose from; absent: all. */
  readonly ranges?: readonly string[];
}

/** What a pod of a node asks IPAM for. */
export interface Demand extends Source {
  /** One address of each: all or none (rule 2), all from ranges of one VLAN. */
  readonly families: readonly Family[];
}
