/** The version of a key at one moment. */
export interface Version {
  readonly key: string;
  /** Revision of the key's last change, compared by a guard. Decimal text: it may exceed 2^53. */
  readonly revision: string;
}

export interface Entry extends Version {
  readonly value: string;
}

/** A condition on what was read (rule 1). Guards are part of the transaction and take no lock. */
export type Guard =
  /**
   * The key has this very value. A revision names a change only within one history of etcd: after
   * etcd was set back to a snapshot it counts up to the same numbers again. Values that contain a
   * count or a mark of their own do not repeat, so this guard holds across histories.
   */
  | { readonly kind: 'same'; readonly key: string; readonly value: string }
  | { readonly kind: 'unchanged'; readonly key: string; readonly revision: string }
  | { readonly kind: 'absent'; readonly key: string }
  /** No key exists below the prefix. */
  | { readonly kind: 'none'; readonly prefix: string }
  /** No key below the prefix was created or changed after the revision. */
  | { readonly kind: 'nothing-newer'; readonly prefix: string; readonly revision: string };

export interface Put {
  readonly kind: 'put';
  readonly key: string;
  readonly value: string;
  /** ID of the lease with which the key ends; absent: it stays. */
  readonly lease?: string;
}

export type Write = Put | { readonly kind: 'delete'; readonly key: string };

/** What a transaction compares and writes. */
export interface Change {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

export const same = ({ key, value }: Pick<Entry, 'key' | 'value'>): Guard => ({ kind: 'same', key, value });
export const unchanged = ({ key, revision }: Version): Guard => ({ kind: 'unchanged', key, revision });
export const absent = (key: string): Guard => ({ kind: 'absent', key });
/** It is as it was read: with this value, or not there. */
export const asRead = (key: string, entry: Pick<Entry, 'key' | 'value'> | undefined): Guard =>
  entry ? same(entry) : absent(key);
export const put = (key: string, value: string, lease?: string): Put => ({
  kind: 'put',
  key,
  value,
  ...(lease !== undefined && { lease }),
});
export const del = (key: string): Write => ({ kind: 'delete', key });

/** Returns the newest revision of the entries; `0` if there are none. */
export function newestRevision(entries: readonly Entry[]): string {
  const newest = entries.reduce((max, { revision }) => (BigInt(revision) > max ? BigInt(revision) : max), 0n);
  return String(newest);
}
