import type { Address, Family } from './address.ts';
import type { AnnotationKind } from './annotations.ts';
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
  /** Addresses that the pod must have, at most one of each family. */
  readonly requested?: readonly RequestedAddress[];
  /** Present if the pod's annotations chose. */
  readonly annotated?: AnnotatedSource;
}

export interface RequestedAddress extends Address {
  /** If given, it must equal the prefix length of the range. */
  readonly prefixLength?: number;
}

/** How the annotations of a pod changed where its addresses come from. */
export interface AnnotatedSource {
  /** Those that chose the address, by its family. */
  readonly by: Readonly<Partial<Record<Family, readonly AnnotationKind[]>>>;
  /** Whether ranges that must be named are out of reach: only rules and networks name those. */
  readonly onlyOpen: boolean;
  /** Whether nothing is kept for the pod from now on: what was kept, it gets a last time. */
  readonly endsKept: boolean;
}

/** What a pod requests from IPAM. */
export interface Demand extends Source {
  /** One address of each family: all or none (rule 2), all from ranges of one VLAN. */
  readonly families: readonly Family[];
}
