import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';
import type { ReadOptions, ScanOptions, Store } from '../../ipam/store/store.ts';

export type StoreRequest = 'get' | 'scan' | 'count' | 'commit';

/** Wraps another store so that a test can order its requests or make them fail. */
export class HookedStore implements Store {
  readonly #store: Store;
  /**
   * The store awaits this before it passes a request on.
   * @param what the prefix of a scan, or the first key
   */
  before: (request: StoreRequest, what: string) => Promise<void> = () => Promise.resolve();

  constructor(store: Store) {
    this.#store = store;
  }

  async get(keys: readonly string[], options?: ReadOptions): Promise<(Entry | undefined)[]> {
    await this.before('get', keys[0] ?? '');
    return await this.#store.get(keys, options);
  }

  async *scan(prefix: string, options?: ScanOptions): AsyncIterable<Entry[]> {
    await this.before('scan', prefix);
    for await (const page of this.#store.scan(prefix, options)) {
      yield page;
      await this.before('scan', `${prefix} further`);
    }
  }

  async count(prefixes: readonly string[]): Promise<number[]> {
    await this.before('count', prefixes[0] ?? '');
    return await this.#store.count(prefixes);
  }

  async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined> {
    await this.before('commit', writes[0]?.key ?? '');
    return await this.#store.commit(guards, writes);
  }

  close(): void {
    this.#store.close();
  }
}
