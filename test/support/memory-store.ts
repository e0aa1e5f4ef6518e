import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';
import type { ReadOptions, ScanOptions, Store } from '../../ipam/store/store.ts';

/**
 * A store in memory with etcd's semantics: one revision per commit, a mod revision per key, and
 * absent keys compare as revision 0. Only tests of pure logic use it. The etcd store's tests check
 * the same expectations on a real etcd.
 */
export class MemoryStore implements Store {
  readonly entries = new Map<string, Entry>();
  revision = 1n;
  clusterId = '1';
  /**
   * The store awaits this before it serves a request: a test can order concurrent callers or make a
   * request fail.
   */
  before: (request: 'get' | 'scan' | 'count' | 'commit') => Promise<void> = () => Promise.resolve();
  /** The store calls this after each successful commit. */
  after: () => void = () => undefined;

  async get(keys: readonly string[], options: ReadOptions = {}): Promise<(Entry | undefined)[]> {
    await this.before('get');
    options.onState?.({ clusterId: this.clusterId, revision: String(this.revision) });
    return keys.map((key) => this.entries.get(key));
  }

  async *scan(prefix: string, options: ScanOptions = {}): AsyncIterable<Entry[]> {
    await this.before('scan');
    options.onRevision?.(String(this.revision));
    const found = this.#below(prefix).sort((a, b) => (a.key < b.key ? -1 : 1));
    if (found.length > 0) yield options.keysOnly ? found.map((entry) => ({ ...entry, value: '' })) : found;
  }

  async count(prefixes: readonly string[]): Promise<number[]> {
    await this.before('count');
    return prefixes.map((prefix) => this.#below(prefix).length);
  }

  async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined> {
    await this.before('commit');
    if (!guards.every((guard) => this.#holds(guard))) return undefined;
    const keys = writes.map((write) => write.key);
    if (new Set(keys).size !== keys.length)
      throw new Error('etcd refuses two writes of one key in a transaction');
    this.revision++;
    for (const write of writes) {
      if (write.kind === 'delete') this.entries.delete(write.key);
      else
        this.entries.set(write.key, { key: write.key, value: write.value, revision: String(this.revision) });
    }
    this.after();
    return String(this.revision);
  }

  close(): void {
    this.before = () => Promise.reject(new Error('the store is closed'));
  }

  #below(prefix: string): Entry[] {
    return [...this.entries.values()].filter((entry) => entry.key.startsWith(prefix));
  }

  #holds(guard: Guard): boolean {
    switch (guard.kind) {
      case 'same':
        return this.entries.get(guard.key)?.value === guard.value;
      case 'unchanged':
        return this.entries.get(guard.key)?.revision === guard.revision;
      case 'absent':
        return !this.entries.has(guard.key);
      case 'none':
        return this.#below(guard.prefix).length === 0;
      case 'nothing-newer':
        return this.#below(guard.prefix).every((entry) => BigInt(entry.revision) <= BigInt(guard.revision));
    }
  }
}
