import { IpamError } from '../../ipam/model/errors.ts';
import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';
import { DEFAULT_DEADLINE_MS } from '../../ipam/store/etcd/store.ts';
import type { LeasedStore, Leases } from '../../ipam/store/leases.ts';
import type { ReadOptions, ScanOptions } from '../../ipam/store/store.ts';
import type { EtcdNetwork } from './etcd-network.ts';
import type { Commit } from './etcd.ts';
import type { Process } from './process.ts';

/** How many operations the store on etcd puts into one transaction (ipam/store/etcd/store.ts). */
const MAX_OPERATIONS = 100;

export interface SimStoreOptions {
  /** When all work of the store must be over, in milliseconds of the monotonic clock. */
  readonly expiresAt?: number | undefined;
  /** Keys in one page of a scan. Small pages let writes come in between. */
  readonly pageSize: number;
  /** How many times a request without answer is sent: once for each endpoint. */
  readonly tries: number;
  /** Receives each transaction that etcd carries out, at that moment. */
  readonly onCommit: (commit: Commit, process: Process) => void;
}

/** The store of one process on the simulated etcd: as ipam/store/etcd/store.ts on the real one. */
export class SimStore implements LeasedStore {
  readonly leases: Leases;
  readonly #network: EtcdNetwork;
  readonly #process: Process;
  readonly #options: SimStoreOptions;

  constructor(network: EtcdNetwork, process: Process, options: SimStoreOptions) {
    this.#network = network;
    this.#process = process;
    this.#options = options;
    const { etcd } = network;
    this.leases = {
      grant: (ttlMs) => this.#call(true, () => etcd.grantLease(ttlMs)),
      keepAlive: (lease) => this.#call(false, () => etcd.keepLeaseAlive(lease)),
      revoke: (lease) => this.#call(true, () => etcd.revokeLease(lease)),
    };
  }

  async get(keys: readonly string[], { onState }: ReadOptions = {}): Promise<(Entry | undefined)[]> {
    const { etcd } = this.#network;
    const entries: (Entry | undefined)[] = [];
    let revision: string | undefined;
    for (let i = 0; i < keys.length; i += MAX_OPERATIONS) {
      const some = keys.slice(i, i + MAX_OPERATIONS);
      const read = await this.#call(false, () => ({
        found: etcd.get(some, revision),
        state: { clusterId: etcd.clusterId, revision: etcd.revision },
      }));
      if (revision === undefined) onState?.(read.state);
      revision ??= read.state.revision;
      entries.push(...read.found);
    }
    return entries;
  }

  async *scan(prefix: string, { keysOnly = false, onRevision }: ScanOptions = {}): AsyncIterable<Entry[]> {
    let from = prefix;
    let revision: string | undefined;
    for (;;) {
      const page = await this.#call(false, () =>
        this.#network.etcd.range(prefix, { revision, from, limit: this.#options.pageSize }),
      );
      if (revision === undefined) onRevision?.(page.revision);
      revision ??= page.revision;
      const { entries } = page;
      if (entries.length > 0) yield keysOnly ? entries.map((each) => ({ ...each, value: '' })) : [...entries];
      const last = entries.at(-1);
      if (!page.more || !last) return;
      from = `${last.key}\0`;
    }
  }

  async count(prefixes: readonly string[]): Promise<number[]> {
    const { etcd } = this.#network;
    return await this.#call(false, () => prefixes.map((prefix) => etcd.range(prefix).entries.length));
  }

  async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined> {
    const { etcd } = this.#network;
    return await this.#call(true, () => {
      const commit = etcd.txn(guards, writes);
      if (!commit) return undefined;
      if (commit.before !== commit.after) this.#options.onCommit(commit, this.#process);
      return etcd.revision;
    });
  }

  close(): void {
    // Its requests have ended by then, and nothing stays open.
  }

  /** Sends the request again while no answer comes, each in its share of the time (cockatiel). */
  async #call<T>(writing: boolean, apply: () => T): Promise<T> {
    const { tries, expiresAt = Infinity } = this.#options;
    const shareMs = DEFAULT_DEADLINE_MS / Math.min(tries, 3);
    for (let n = 1; ; n++) {
      const deadlineMs = Math.min(shareMs, expiresAt - this.#process.effects.monotonic());
      try {
        return await this.#network.call(this.#process, writing, deadlineMs, apply);
      } catch (error) {
        if (n >= tries || !(error instanceof IpamError) || error.code !== 'store-unreachable') throw error;
      }
    }
  }
}
