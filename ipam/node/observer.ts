import type { Tally } from '../model/block.ts';
import type { Demand } from '../model/demand.ts';
import type { HeldBlock } from './node-blocks.ts';

/** Learns what a process reads and changes of nodes' blocks: metrics and warm blocks rest on it. It must not throw. */
export interface Observer {
  /** All that the node holds, as it was just read or written. */
  holds(node: string, blocks: readonly HeldBlock[]): void;
  /** What a transaction has given out and taken back. */
  wrote(tally: Tally): void;
  /** An allocation for this demand has succeeded. */
  allocated(demand: Demand): void;
}

/** For a process that serves one call, and keeps nothing. */
export const silentObserver: Observer = {
  holds: () => undefined,
  wrote: () => undefined,
  allocated: () => undefined,
};
