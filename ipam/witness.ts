import type { Block, Tally } from './block.ts';
import type { HeldBlock } from './holdings.ts';

/** Is told what a process learns and changes of the blocks of nodes: what its metrics rest on. It must not throw. */
export interface Witness {
  /** All that the node holds, as it was just read or written. */
  holds(node: string, blocks: readonly HeldBlock[]): void;
  /** What a write of orders gave out and took back. */
  wrote(tally: Tally): void;
  /** One address was taken back by itself; the block as it is now. */
  released(block: Block): void;
}
