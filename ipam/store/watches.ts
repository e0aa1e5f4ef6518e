import { IpamError } from '../model/errors.ts';
import type { Entry } from '../records/transaction.ts';
import type { ScanOptions, Store } from './store.ts';

/** A change of one key. */
export interface KeyChange {
  readonly key: string;
  /** Undefined: it was deleted. */
  readonly value: string | undefined;
}

/** Everything that one transaction changed, in the order of its operations. */
export interface RevisionChanges {
  readonly revision: number;
  readonly changes: readonly KeyChange[];
}

/** What a watch tells at once. */
export interface WatchNews {
  /** Complete revisions, in order. Empty at the beginning of the watch, and for a sign of life. */
  readonly revisions: readonly RevisionChanges[];
  /** Newest revision of the member that answers. It may have more to tell up to there. */
  readonly newest: number;
  /** Everything up to this revision has been told. Some members say so of their own accord. */
  readonly upTo?: number;
}

/**
 * etcd as a sequence of revisions. They are numbers: a million transactions a second take 285 years
 * to 2^53. Every method rejects with IpamError `store-…`; a moment that etcd has forgotten, with
 * `store-compacted`.
 */
export interface Watches {
  /** Returns the newest revision, as a majority of the members confirms it. */
  newest(): Promise<number>;
  /** Returns the entry as of a revision. */
  getAt(key: string, revision: number): Promise<Entry | undefined>;
  /** Does as `scan`, as of a revision. */
  scanAt(
    prefix: string,
    revision: number,
    options?: Pick<ScanOptions, 'keysOnly'> & {
      /** Only keys that were changed after this revision. */
      readonly changedAfter?: number;
    },
  ): AsyncIterable<Entry[]>;
  /**
   * Yields all changes of the store from a revision on, over one connection, until it breaks: then
   * it rejects, with {@link CompactedError} where etcd has forgotten that revision. The first news
   * has no revisions: the member that answers has accepted the watch. A caller that takes its time
   * makes etcd wait. No news within a few seconds means that the connection is dead.
   */
  watch(from: number, signal: AbortSignal): AsyncIterable<WatchNews>;
}

/** A store that tells its changes. */
export interface WatchedStore extends Store {
  readonly watches: Watches;
}

/** etcd has forgotten the revision from which a watch was to begin. */
export class CompactedError extends IpamError {
  /** The oldest revision that can be read. */
  readonly compactRevision: number;

  constructor(compactRevision: number) {
    super('store-compacted', `etcd is compacted up to revision ${compactRevision}`);
    this.compactRevision = compactRevision;
  }
}

export const isCompacted = (error: unknown): boolean =>
  error instanceof IpamError && error.code === 'store-compacted';
