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

/** A key as it was at one moment. */
export interface Version {
  readonly key: string;
  /** Revision of the key's last change: what a guard compares. Decimal text, for it may pass 2^53. */
  readonly revision: string;
}

export interface Entry extends Version {
  readonly value: string;
}

/** A condition on what was read (rule 1): values that go into the transaction, not locks. */
export type Guard =
  | { readonly kind: 'unchanged'; readonly key: string; readonly revision: string }
  | { readonly kind: 'absent'; readonly key: string }
  /** No key at all below the prefix. */
  | { readonly kind: 'none'; readonly prefix: string }
  /** No key below the prefix was made or changed after the revision. */
  | { readonly kind: 'nothing-newer'; readonly prefix: string; readonly revision: string };

export interface Put {
  readonly kind: 'put';
  readonly key: string;
  readonly value: string;
}

export type Write = Put | { readonly kind: 'delete'; readonly key: string };

export const unchanged = ({ key, revision }: Version): Guard => ({ kind: 'unchanged', key, revision });
export const absent = (key: string): Guard => ({ kind: 'absent', key });
export const put = (key: string, value: string): Put => ({ kind: 'put', key, value });
export const del = (key: string): Write => ({ kind: 'delete', key });

/** Everything below a prefix at once: for prefixes that are known to be small. */
export async function scanAll(store: Store, prefix: string, options?: ScanOptions): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const page of store.scan(prefix, options)) entries.push(...page);
  return entries;
}

/** The latest change of any of them; `0` for none. */
export function newestRevision(entries: readonly Entry[]): string {
  const newest = entries.reduce((max, { revision }) => (BigInt(revision) > max ? BigInt(revision) : max), 0n);
  return String(newest);
}
