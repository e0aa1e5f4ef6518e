import { IpamError } from '../model/errors.ts';
import type { Entry, Guard, Write } from '../records/transaction.ts';

/**
 * The narrow store on which IPAM depends: consistent reads, and one kind of write that applies
 * completely if every guard holds, otherwise not at all. Keys are relative to the store prefix.
 * Every method rejects with IpamError `store-…`. A rejected `commit` may set `uncertain`.
 */
export interface Store {
  /** Returns the entry of each key as of one moment, in the order given; undefined for none. */
  get(keys: readonly string[], options?: ReadOptions): Promise<(Entry | undefined)[]>;
  /**
   * Yields every key below the prefix as of one moment, in pages, sorted by key. Rejects with
   * `store-compacted` when etcd forgets that moment before the last page: see {@link readAgain}.
   */
  scan(prefix: string, options?: ScanOptions): AsyncIterable<Entry[]>;
  /** Returns how many keys lie below each prefix. Cheap: etcd sends no key or value. */
  count(prefixes: readonly string[]): Promise<number[]>;
  /**
   * Carries out all writes if all guards hold.
   * @returns the new revision of the written keys; undefined if a guard did not hold
   */
  commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined>;
  close(): void;
}

/** The state of etcd as of one answer: etcd's ResponseHeader. */
export interface StoreState {
  /** Decimal text. */
  readonly clusterId: string;
  /** Revision of the whole store. Decimal text: it may exceed 2^53. */
  readonly revision: string;
}

export interface ReadOptions {
  /** Receives the state that the entries are of. The last call counts, where etcd is compacted. */
  readonly onState?: (state: StoreState) => void;
}

export interface ScanOptions {
  /** Returns entries with an empty value. */
  readonly keysOnly?: boolean;
  /** Receives the revision of the read before the first page. */
  readonly onRevision?: (revision: string) => void;
}

/** How often a list is begun, while etcd is compacted during each. */
const MOST_READINGS = 5;

/**
 * Runs a reading of whole lists, and runs it from its beginning again when etcd was compacted
 * between two pages: the rest of what was read is gone then.
 * @param read keeps nothing of an earlier run
 * @throws IpamError `store-compacted` when etcd was compacted during each of several readings
 */
export async function readAgain<T>(read: () => Promise<T>): Promise<T> {
  for (let reading = 1; ; reading++) {
    try {
      return await read();
    } catch (error) {
      const isCompacted = error instanceof IpamError && error.code === 'store-compacted';
      if (!isCompacted || reading >= MOST_READINGS) throw error;
    }
  }
}

/** Returns everything below a prefix at once: for prefixes known to be small. */
export function scanAll(store: Store, prefix: string, options?: ScanOptions): Promise<Entry[]> {
  return readAgain(async () => {
    const entries: Entry[] = [];
    for await (const page of store.scan(prefix, options)) entries.push(...page);
    return entries;
  });
}
