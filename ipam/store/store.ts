import type { Entry, Guard, Write } from '../records/transaction.ts';

/**
 * The narrow store on which IPAM rests: consistent reads, and one kind of write that is carried out wholly
 * or not at all, if every guard still holds. Keys are relative to the store's own prefix.
 * Every method rejects with IpamError `store-…`; a rejected `commit` may say `uncertain`.
 */
export interface Store {
  /** All of the keys as of one moment, in the order asked; undefined where a key is absent. */
  get(keys: readonly string[]): Promise<(Entry | undefined)[]>;
  /** Every key below the prefix as of one moment, in pages, sorted by key. */
  scan(prefix: string, options?: ScanOptions): AsyncIterable<Entry[]>;
  /** How many keys lie below each prefix. Cheap: no key or value is sent. */
  count(prefixes: readonly string[]): Promise<number[]>;
  /**
   * Carries out all writes if all guards hold.
   * @returns the revision that the written keys have now; undefined where a guard did not hold
   */
  commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined>;
  close(): void;
}

export interface ScanOptions {
  /** Entries come with an empty value. */
  readonly keysOnly?: boolean;
  /** Told the revision of the moment, before the first page. */
  readonly onRevision?: (revision: string) => void;
}

/** Everything below a prefix at once: for prefixes that are known to be small. */
export async function scanAll(store: Store, prefix: string, options?: ScanOptions): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const page of store.scan(prefix, options)) entries.push(...page);
  return entries;
}
