import type { Put } from '../../ipam/records/transaction.ts';
import type { LeasedStore, Leases } from '../../ipam/store/leases.ts';
import { MemoryStore } from './memory-store.ts';

/** A store in memory whose leases end when the test says so, as in etcd. */
export class MemoryLeases extends MemoryStore implements LeasedStore {
  /** The keys of each lease that lives. */
  readonly held = new Map<string, Set<string>>();
  /** Requests about leases, in their order. */
  readonly asked: string[] = [];
  #count = 0;

  readonly leases: Leases = {
    grant: async () => {
      await this.before('commit');
      this.asked.push('grant');
      const lease = String(++this.#count);
      this.held.set(lease, new Set());
      return lease;
    },
    keepAlive: async (lease) => {
      await this.before('get');
      this.asked.push('keepAlive');
      return this.held.has(lease);
    },
    revoke: async (lease) => {
      await this.before('commit');
      this.asked.push('revoke');
      this.end(lease);
    },
  };

  /** Ends a lease, as when nobody keeps it alive. */
  end(lease: string): void {
    for (const key of this.held.get(lease) ?? []) this.entries.delete(key);
    this.held.delete(lease);
  }

  override async commit(...[guards, writes]: Parameters<MemoryStore['commit']>): Promise<string | undefined> {
    const puts = writes.filter((each): each is Put => each.kind === 'put');
    for (const { lease } of puts)
      if (lease !== undefined && !this.held.has(lease)) throw new Error('requested lease not found');
    const revision = await super.commit(guards, writes);
    if (revision === undefined) return undefined;
    for (const { key, lease } of puts) {
      for (const keys of this.held.values()) keys.delete(key);
      if (lease !== undefined) this.held.get(lease)?.add(key);
    }
    return revision;
  }
}
