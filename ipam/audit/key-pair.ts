export type IndexReason =
  /** A block that its node's index does not name: the node does not know what it has of it. */
  | 'no-index'
  /** An index key of a block that does not exist. */
  | 'no-block'
  /** An index key of a block that another node holds, and of which the node has no address. */
  | 'wrong-node'
  /** A kept address, or an own block with room, that no key leads to ({@link LookupComparison}). */
  | 'no-key'
  /** A key of a kept address, or of an own block with room, that no block has. */
  | 'stale-key';

/** Whether a repair writes the key of the pair; else it deletes it. */
export const isMissing = (reason: IndexReason): boolean => reason === 'no-index' || reason === 'no-key';

/** A key that follows from a block, and the block's key, which must agree. */
export interface IndexPair {
  /** Of a node's index, or below `kept/` or `own/`. */
  readonly indexKey: string;
  readonly blockKey: string;
  readonly reason: IndexReason;
}
