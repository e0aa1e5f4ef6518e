import type { Tally } from '../model/block-counts.ts';
import type { Demand } from '../model/demand.ts';
import type { CarriedAddress } from './local-node.ts';
import type { HeldBlock } from './node-blocks.ts';

/** What became of living attachments that etcd had forgotten. */
export interface WriteBackResult {
  /** Why etcd must have been set back; undefined if only the missing allocations show it. */
  readonly reason: string | undefined;
  readonly restored: readonly CarriedAddress[];
  /** Of a block that another node holds by now. IPAM keeps that node from using the address. */
  readonly setAside: readonly CarriedAddress[];
  /** Assigned to another attachment by now: two owners. */
  readonly conflicts: readonly (CarriedAddress & { readonly by: string })[];
  /** In no range that etcd holds. */
  readonly outside: readonly CarriedAddress[];
}

/**
 * Learns what a process reads and changes in node blocks. Metrics and warm blocks depend on it. Its
 * methods must not throw.
 */
export interface Observer {
  /** Receives all blocks of the node after a read or a write. */
  holds(node: string, blocks: readonly HeldBlock[]): void;
  /** Receives what a transaction allocated and released. */
  wrote(tally: Tally): void;
  /** Receives what etcd had forgotten and this process wrote back, or could not. */
  wroteBack(node: string, result: WriteBackResult): void;
  /** Receives the demand of an allocation that succeeded. */
  allocated(demand: Demand): void;
}

/** For a process that serves one call and keeps no state. */
export const silentObserver: Observer = {
  holds: () => undefined,
  wrote: () => undefined,
  wroteBack: () => undefined,
  allocated: () => undefined,
};
