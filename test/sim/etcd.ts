import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';
import { Keys } from './etcd-keys.ts';
import { Leases } from './etcd-leases.ts';

/** etcd's default limits: `--max-txn-ops`, and `--max-request-bytes`. */
const MAX_OPERATIONS = 128;
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

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
  readonly #leases: Leases;
  #revision = 1;
  #compacted = 0;
  #at = new Map<number, Keys>([[1, new Keys()]]);

  /** @param now milliseconds of etcd's own clock */
  constructor(now: () => number) {
    this.#leases = new Leases(now);
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
    return this.#leases.grant(ttlMs);
  }

  /** Returns false if there is no such lease. */
  keepLeaseAlive(id: string): boolean {
    this.#expireLeases();
    return this.#leases.keepAlive(id);
  }

  /** Ends the lease, and deletes its keys in a revision of its own. */
  revokeLease(id: string): void {
    if (!this.#leases.end(id)) return;
    const keys = this.keys.entries.filter(({ lease }) => lease === id);
    if (keys.length > 0)
      this.txn(
        [],
        keys.map(({ key }) => ({ kind: 'delete', key })),
      );
  }

  #expireLeases(): void {
    for (const id of this.#leases.expired()) this.revokeLease(id);
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
    this.#leases.renew(new Set(keys.entries.map(({ lease }) => lease)));
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
    this.#leases.renew(new Set());
    this.clusterId = clusterId;
    this.#revision = 1;
    this.#compacted = 0;
    this.#at = new Map([[1, new Keys()]]);
    this.epoch++;
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
