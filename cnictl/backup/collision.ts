import type { Guard } from '../../ipam/records/transaction.ts';
import type { BackupRecord } from './format.ts';

/** Why a key of the backup is not written. Restore never overwrites a key. */
export type CollisionReason =
  /** The key exists with another value, or the block's index key exists. */
  | 'differs'
  /** The range overlaps an existing one, or may overlap one that cannot be read. */
  | 'overlaps'
  /** The block's range does not exist and cannot be added, or the block does not fit it. */
  | 'range'
  /** An attachment of the block already has another address. */
  | 'owner'
  /**
   * This version cannot read the record, or the backup has no block to restore for the index key.
   */
  | 'unsound'
  /** The drain mark of a node. In a prefix in use, the operator decides again. */
  | 'node-state'
  /** Another client wrote the key during the restore. */
  | 'raced';

export interface Collision {
  readonly key: string;
  readonly reason: CollisionReason;
  readonly detail: string;
}

/** Keys that are written together or not at all. */
export interface Unit {
  readonly records: readonly BackupRecord[];
  /** Guards in addition to the absence of every key. */
  readonly guards: readonly Guard[];
}
