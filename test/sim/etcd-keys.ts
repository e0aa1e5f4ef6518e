import type { Entry, Write } from '../../ipam/records/transaction.ts';

/** A key with what etcd knows of it. */
export interface Stored extends Entry {
  readonly create: string;
  /** The lease with which the key ends. */
  readonly lease: string | undefined;
}

/** Everything that etcd has at one revision. A write makes a new value, so each is a snapshot. */
export class Keys {
  /** Sorted by key. */
  readonly entries: readonly Stored[];

  constructor(entries: readonly Stored[] = []) {
    this.entries = entries;
  }

  get(key: string): Stored | undefined {
    const found = this.entries[this.#placeOf(key)];
    return found?.key === key ? found : undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** Returns the entries below the prefix, sorted. @param from the first key to return */
  below(prefix: string, from = prefix): readonly Stored[] {
    let end = this.#placeOf(from);
    const start = end;
    while (this.entries[end]?.key.startsWith(prefix)) end++;
    return this.entries.slice(start, end);
  }

  /** Returns what is there after the writes. */
  with(writes: readonly Write[], revision: string): Keys {
    const entries = [...this.entries];
    for (const write of writes) {
      const at = placeOf(entries, write.key);
      const before = entries[at]?.key === write.key ? entries[at] : undefined;
      const after =
        write.kind === 'put'
          ? [{ ...write, revision, create: before?.create ?? revision, lease: write.lease }]
          : [];
      entries.splice(at, before ? 1 : 0, ...after);
    }
    return new Keys(entries);
  }

  #placeOf(key: string): number {
    return placeOf(this.entries, key);
  }
}

/** Returns the place of the first entry that is not before the key. */
function placeOf(entries: readonly Entry[], key: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.key ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
