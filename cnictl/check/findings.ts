import type { IndexFinding } from '../../ipam/audit/index-audit.ts';
import type { AuditedAllocation, Conflict, Leak, Missing } from '../../ipam/audit/judge.ts';
import type { NodeAlias } from '../../ipam/audit/node-alias.ts';
import type { RecordFinding } from '../../ipam/audit/record-audit.ts';
import type { Lost } from '../../ipam/records/lost-record.ts';
import type { KeptFinding } from './kept.ts';

/** A block of a node that the API server does not know. */
export interface StrandedBlock {
  readonly key: string;
  readonly node: string;
  /** When it was claimed, in milliseconds since 1970. */
  readonly since: number;
}

/** What both observations of a check found of allocations, pods and records. */
export interface Observed {
  readonly allocated: number;
  readonly pods: number;
  /** Those of the pods that use their host's network. */
  readonly hostPods: number;
  readonly leaked: readonly Leak[];
  /** Allocations without a pod's name or UID: nothing proves them leaked, so they are in use. */
  readonly unknown: readonly AuditedAllocation[];
  readonly missing: readonly Missing[];
  readonly conflicts: readonly Conflict[];
  /** Blocks and the keys that follow from them, where they disagree. */
  readonly index: readonly IndexFinding[];
  readonly records: readonly RecordFinding[];
  readonly stranded: readonly StrandedBlock[];
  /** Machines that have another name in the cluster than in etcd. */
  readonly aliases: readonly NodeAlias[];
  /** Nodes on which attachments live whose addresses are in no range. */
  readonly lost: Lost;
}

/** All that a check found. */
export interface Findings extends Observed {
  /** Addresses that are kept for pods which no StatefulSet makes any more. */
  readonly kept: readonly KeptFinding[];
  /** Why nothing is said of them. */
  readonly keptProblem: string | undefined;
}

/** Returns what is kept and may end now. */
export const keptDue = ({ kept }: Pick<Findings, 'kept'>): KeptFinding[] => kept.filter(({ isDue }) => isDue);

/** Counts everything that is wrong, apart from leaks. */
export const othersFound = (found: Observed): number =>
  found.missing.length + found.conflicts.length + recordsFound(found);

/** Counts the rows of the report's records. */
export const recordsFound = ({ index, records, stranded, aliases, lost }: Observed): number =>
  index.length +
  records.length +
  stranded.length +
  aliases.length +
  lost.nodes.length +
  lost.unreadable.length;

/**
 * Returns the nodes of which `check` releases nothing. What etcd says of the machine and what the
 * cluster says of it may be about two machines.
 */
export const doubtedNodes = ({ aliases }: Pick<Findings, 'aliases'>): ReadonlySet<string> =>
  new Set(aliases.map(({ node }) => node));
