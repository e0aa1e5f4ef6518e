import type { KubeObject } from './kube-api-objects.ts';

/** Many objects that are not kept in memory: `make` builds one on request, the same every time. */
export interface Bulk {
  readonly count: number;
  /** Makes the i-th object, from 0. */
  readonly make: (i: number) => KubeObject;
}

interface Version {
  readonly revision: number;
  /** A number is the index of a bulk object. Undefined marks a deletion. */
  readonly object: KubeObject | number | undefined;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  readonly object: KubeObject;
  readonly before: KubeObject | undefined;
}

/** The cluster's revision counter, one for all collections, like etcd's revision. */
export class Clock {
  revision = 1000;
  /** The server no longer serves history before this revision. */
  compacted = 0;

  next(): number {
    return ++this.revision;
  }
}

export const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

/** All objects of one resource with their history. Any past revision can be read, as from etcd. */
export class Collection {
  readonly #clock: Clock;
  readonly #bulk: Bulk | undefined;
  readonly #bulkRevision: number;
  /** Every key that ever existed, in order. */
  readonly #keys: string[] = [];
  readonly #history = new Map<string, Version[] | number>();
  readonly #snapshots = new Map<number, readonly string[]>();
  readonly #events: WatchEvent[] = [];
  readonly #watchers = new Set<(event: WatchEvent) => void>();

  constructor(clock: Clock, bulk?: Bulk) {
    this.#clock = clock;
    this.#bulk = bulk;
    this.#bulkRevision = clock.revision;
    for (let i = 0; i < (bulk?.count ?? 0); i++) {
      const key = keyOf((bulk as Bulk).make(i));
      this.#keys.push(key);
      this.#history.set(key, i);
    }
    this.#keys.sort();
  }

  put(object: KubeObject): KubeObject {
    const key = keyOf(object);
    const before = this.get(key);
    const revision = this.#clock.next();
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    this.#record(key, { revision, object: stored });
    this.#emit({ type: before === undefined ? 'ADDED' : 'MODIFIED', revision, object: stored, before });
    return stored;
  }

  delete(key: string): boolean {
    const before = this.get(key);
    if (before === undefined) return false;
    const revision = this.#clock.next();
    this.#record(key, { revision, object: undefined });
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(revision) } };
    this.#emit({ type: 'DELETED', revision, object, before });
    return true;
  }

  get(key: string, revision: number = this.#clock.revision): KubeObject | undefined {
    const found = this.#at(key, revision);
    return typeof found === 'number' ? this.#generate(found) : found;
  }

  /** Returns the objects that exist now. */
  all(): KubeObject[] {
    return this.#keys.flatMap((key) => this.get(key) ?? []);
  }

  /**
   * Returns the keys that existed at a revision, in order. Caches the list for the following pages.
   */
  keysAt(revision: number): readonly string[] {
    const known = this.#snapshots.get(revision);
    if (known !== undefined) return known;
    const keys = this.#keys.filter((key) => this.#at(key, revision) !== undefined);
    this.#snapshots.set(revision, keys);
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > 4 && oldest !== undefined) this.#snapshots.delete(oldest);
    return keys;
  }

  eventsAfter(revision: number): readonly WatchEvent[] {
    return this.#events.filter((event) => event.revision > revision);
  }

  /** Returns a function that ends the watch. */
  watch(onEvent: (event: WatchEvent) => void): () => void {
    this.#watchers.add(onEvent);
    return () => void this.#watchers.delete(onEvent);
  }

  #record(key: string, version: Version): void {
    const past = this.#history.get(key);
    if (past === undefined) this.#keys.splice(lowerBound(this.#keys, key), 0, key);
    if (Array.isArray(past)) past.push(version);
    else
      this.#history.set(
        key,
        past === undefined ? [version] : [{ revision: this.#bulkRevision, object: past }, version],
      );
  }

  #emit(event: WatchEvent): void {
    this.#events.push(event);
    for (const watcher of this.#watchers) watcher(event);
  }

  #at(key: string, revision: number): KubeObject | number | undefined {
    const past = this.#history.get(key);
    if (!Array.isArray(past)) return past !== undefined && revision >= this.#bulkRevision ? past : undefined;
    return past.findLast((version) => version.revision <= revision)?.object;
  }

  #generate(index: number): KubeObject {
    const object = (this.#bulk as Bulk).make(index);
    object.metadata.resourceVersion = String(this.#bulkRevision);
    return object;
  }
}

/** Returns the index of the first key that is not before `key`. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
