import type { Store } from './store.ts';

/**
 * Leases of etcd: a key that is written with a lease ends when the writer falls silent or ends the
 * lease. Every method rejects with IpamError `store-…`.
 */
export interface Leases {
  /**
   * Makes a lease that ends when it is not kept alive for `ttlMs` milliseconds, in whole seconds.
   * @returns its ID
   */
  grant(ttlMs: number): Promise<string>;
  /**
   * Gives the lease its whole time again. etcd keeps that in memory: it writes nothing, and no
   * revision shows it.
   * @returns false if etcd does not have the lease
   */
  keepAlive(lease: string): Promise<boolean>;
  /** Ends the lease and deletes its keys. It succeeds if etcd does not have the lease. */
  revoke(lease: string): Promise<void>;
}

/** A store whose keys may end with a lease (`Put.lease`). */
export interface LeasedStore extends Store {
  readonly leases: Leases;
}
