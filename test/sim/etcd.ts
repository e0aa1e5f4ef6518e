import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';

/** etcd's default limits: `--max-txn-ops`, and `--max-request-bytes`. */
const MAX_OPERATIONS = 128;
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

interface Stored extends Entry {
  readonly create: string;
  /** The lease with which the key ends. */
  readonly lease: string | undefined;
}

interface Lease {
  readonly ttlMs: number;
  expiresAt: number;
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

/** An answer of etcd that refuses the request, in etcd's own words. */
export class EtcdRefusal extends Error {
  override readonly name = 'EtcdRefusal';
}

export interface RangeOptions {
  /** Reads as of this revision; absent: the newest. */
  readonly revision?: string | undefined;
  /** Starts at this key; absent: at the first. */
  readonly from?: string | undefined;
  readonly limit?: number;
}

export interface RangeReply {
  readonly entries: readonly Entry[];
  /** Whether the limit cut the answer short. */
  readonly more: boolean;
  readonly revision: string;
}

/** A saved state, as of `etcdctl snapshot save`. */
export interface Snapshot {
  readonly revision: string;
  readonly keys: Keys;
}

/** What a transaction changed. */
export interface Commit {
  readonly before: Keys;
  readonly after: Keys;
  readonly writes: readonly Write[];
}

/**
 * etcd's data model (etcd.io, "data model" and "KV API guarantees"): one revision for each
 * transaction that writes, a modification and a creation revision for each key, reads of earlier
 * revisions until these are compacted. Operators' acts are there too: restoring a snapshot, an
 * empty data folder. test/support/store-cases.ts holds it against a real etcd.
 */
export class SimEtcd {
  /** Changes when a server with other data takes over: connections end then. */
  epoch = 0;
  clusterId = '1';
  readonly #now: () => number;
  readonly #leases = new Map<string, Lease>();
  #lastLease = 0;
  #revision = 1;
  #compacted = 0;
  #at = new Map<number, Keys>([[1, new Keys()]]);

  /** @param now milliseconds of etcd's own clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  get revision(): string {
    return String(this.#revision);
  }

  get keys(): Keys {
    return this.#keysAt(undefined);
  }

  /**
   * Returns the keys below the prefix, sorted.
   * @throws EtcdRefusal for a revision that is compacted or does not exist yet
   */
  range(prefix: string, { revision, from = prefix, limit = Infinity }: RangeOptions = {}): RangeReply {
    const entries = this.#keysAt(revision).below(prefix, from);
    return { entries: entries.slice(0, limit), more: entries.length > limit, revision: this.revision };
  }

  /** Returns one entry for each key. @throws EtcdRefusal as {@link range} */
  get(keys: readonly string[], revision?: string): (Entry | undefined)[] {
    if (keys.length > MAX_OPERATIONS) throw new EtcdRefusal('etcdserver: too many operations in txn request');
    const at = this.#keysAt(revision);
    return keys.map((key) => at.get(key));
  }

  /**
   * Carries out the writes if all guards hold.
   * @returns undefined if a guard did not hold
   * @throws EtcdRefusal for a transaction that etcd's limits or rules forbid
   */
  txn(guards: readonly Guard[], writes: readonly Write[]): Commit | undefined {
    checkRequest(guards, writes);
    this.#expireLeases();
    if (writes.some((write) => write.kind === 'put' && write.lease && !this.#leases.has(write.lease)))
      throw new EtcdRefusal('etcdserver: requested lease not found');
    const before = this.keys;
    if (!guards.every((guard) => holds(before, guard))) return undefined;
    const changes = writes.filter((write) => write.kind === 'put' || before.has(write.key));
    // Deleting what does not exist changes nothing, and makes no revision.
    if (changes.length === 0) return { before, after: before, writes };
    const revision = String(++this.#revision);
    const after = before.with(writes, revision);
    this.#at.set(this.#revision, after);
    return { before, after, writes };
  }

  /** Returns the ID of a new lease. */
  grantLease(ttlMs: number): string {
    const id = String(++this.#lastLease);
    this.#leases.set(id, { ttlMs, expiresAt: this.#now() + ttlMs });
    return id;
  }

  /** Returns false if there is no such lease. */
  keepLeaseAlive(id: string): boolean {
    this.#expireLeases();
    const lease = this.#leases.get(id);
    if (lease) lease.expiresAt = this.#now() + lease.ttlMs;
    return lease !== undefined;
  }

  /** Ends the lease, and deletes its keys in a revision of its own. */
  revokeLease(id: string): void {
    if (!this.#leases.delete(id)) return;
    const keys = this.keys.entries.filter(({ lease }) => lease === id);
    if (keys.length > 0)
      this.txn(
        [],
        keys.map(({ key }) => ({ kind: 'delete', key })),
      );
  }

  /** Ends the leases whose time is over. */
  #expireLeases(): void {
    for (const [id, { expiresAt }] of this.#leases) if (expiresAt <= this.#now()) this.revokeLease(id);
  }

  /** Forgets earlier revisions. Equivalent to: etcdctl compact REVISION */
  compact(revision = this.revision): void {
    this.#compacted = Number(revision);
    for (const each of this.#at.keys()) if (each < this.#compacted) this.#at.delete(each);
  }

  /**
   * Goes back to an earlier state: revisions count on from there, so numbers come again with other
   * contents. The leases of its keys have their whole time again.
   * @param clusterId a new one, unless the restored server has the same members and token
   */
  restore({ revision, keys }: Snapshot, clusterId = this.clusterId): void {
    this.#keepLeasesOf(keys);
    this.clusterId = clusterId;
    this.#revision = Number(revision);
    this.#at = new Map([[this.#revision, keys]]);
    this.#compacted = this.#revision;
    this.epoch++;
  }

  snapshot(): Snapshot {
    return { revision: this.revision, keys: this.keys };
  }

  /** Starts with an empty data folder. @param clusterId as for {@link restore} */
  wipe(clusterId = this.clusterId): void {
    this.#leases.clear();
    this.clusterId = clusterId;
    this.#revision = 1;
    this.#compacted = 0;
    this.#at = new Map([[1, new Keys()]]);
    this.epoch++;
  }

  #keepLeasesOf(keys: Keys): void {
    const kept = new Set(keys.entries.map(({ lease }) => lease));
    for (const [id, lease] of this.#leases) {
      if (kept.has(id)) lease.expiresAt = this.#now() + lease.ttlMs;
      else this.#leases.delete(id);
    }
  }

  #keysAt(revision: string | undefined): Keys {
    if (revision === undefined) this.#expireLeases();
    const wanted = revision === undefined ? this.#revision : Number(revision);
    if (wanted > this.#revision)
      throw new EtcdRefusal('etcdserver: mvcc: required revision is a future revision');
    if (wanted < this.#compacted)
      throw new EtcdRefusal('etcdserver: mvcc: required revision has been compacted');
    const keys = this.#at.get(wanted);
    if (!keys) throw new Error(`revision ${wanted} was never made`);
    return keys;
  }
}

function holds(keys: Keys, guard: Guard): boolean {
  switch (guard.kind) {
    case 'same':
      return keys.get(guard.key)?.value === guard.value;
    case 'unchanged':
      return (keys.get(guard.key)?.revision ?? '0') === guard.revision;
    case 'absent':
      return !keys.has(guard.key);
    case 'none':
      return keys.below(guard.prefix).length === 0;
    case 'nothing-newer':
      return keys.below(guard.prefix).every(({ revision }) => Number(revision) <= Number(guard.revision));
  }
}

function checkRequest(guards: readonly Guard[], writes: readonly Write[]): void {
  if (Math.max(guards.length, writes.length) > MAX_OPERATIONS)
    throw new EtcdRefusal('etcdserver: too many operations in txn request');
  const puts = writes.filter(({ kind }) => kind === 'put').map(({ key }) => key);
  const deleted = new Set(writes.filter(({ kind }) => kind === 'delete').map(({ key }) => key));
  if (new Set(puts).size !== puts.length || puts.some((key) => deleted.has(key)))
    throw new EtcdRefusal('etcdserver: duplicate key given in txn request');
  const bytes = writes.reduce((sum, write) => sum + (write.kind === 'put' ? write.value.length : 0), 0);
  if (bytes > MAX_REQUEST_BYTES) throw new EtcdRefusal('etcdserver: request is too large');
}
