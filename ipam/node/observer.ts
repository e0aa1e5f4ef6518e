import type { Tally } from '../model/block-counts.ts';
import type { Demand } from '../model/demand.ts';
import type { HeldBlock } from './node-blocks.ts';

/**
 * Learns what a process reads and changes in node blocks. Metrics and warm blocks depend on it. Its
 * methods must not throw.
 */
export interface Observer {
  /** Receives all blocks of the node after a read or a write. */
  holds(node: string, blocks: readonly HeldBlock[]): void;
  /** Receives what a transaction allocated and released. */
  wrote(tally: Tally): void;
  /** Receives the demand of an allocation that succeeded. */
  allocated(demand: Demand): void;
}

/** For a process that serves one call and keeps no state. */
export const silentObserver: Observer = {
  holds: () => undefined,
  wrote: () => undefined,
  allocated: () => undefined,
};
