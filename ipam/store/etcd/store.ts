import type { Etcd3, ICompare, IKeyValue, IRequestOp, ITxnRequest, ITxnResponse } from 'etcd3';
import { IpamError } from '../../model/errors.ts';
import type { Entry, Guard, Write } from '../../records/transaction.ts';
import type { LeasedStore, Leases } from '../leases.ts';
import type { WatchedStore, Watches } from '../watches.ts';
import { readAgain, type ReadOptions, type ScanOptions } from '../store.ts';
import type { SilentEndpoints } from './endpoints.ts';
import { translateError } from './errors.ts';
import { leasesOn } from './leases.ts';
import { RenewedClient } from './renewed-client.ts';
import { checkEtcdSettings, type EtcdSettings } from './settings.ts';
import { watchesOn } from './watches.ts';

export interface EtcdStoreOptions {
  /** Longest wait for one request, in milliseconds. */
  readonly deadlineMs?: number;
  /**
   * When all work of the store must be over, in milliseconds of the monotonic clock
   * (`performance.now()`). Caps each deadline.
   */
  readonly expiresAt?: number;
  /** Default: this process learns itself which endpoints do not answer. */
  readonly silent?: SilentEndpoints;
}

export const DEFAULT_DEADLINE_MS = 5_000;
/** Below etcd's default limit of operations in a transaction (`--max-txn-ops`, 128). */
const MAX_OPERATIONS = 100;
const PAGE_SIZE = 500;
/** Full blocks of 16 addresses are some 6 kB each: a page of them stays below 64 MB by far. */
const LARGEST_PAGE = 4_000;

/**
 * Opens the store on etcd, with keys below `PREFIX/v1/`. It connects on its first request.
 * @throws IpamError `invalid` if the settings or their files are not usable
 */
export function openEtcdStore(
  settings: EtcdSettings,
  options: EtcdStoreOptions = {},
): LeasedStore & WatchedStore {
  checkEtcdSettings(settings);
  return new EtcdStore(settings, options);
}

class EtcdStore implements LeasedStore, WatchedStore {
  readonly leases: Leases;
  readonly watches: Watches;
  readonly #client: RenewedClient;
  readonly #prefix: string;
  readonly #endpoints: string;
  /** Prefixes of lists that etcd compacted while they were read. */
  readonly #compacted = new Set<string>();

  constructor(settings: EtcdSettings, options: EtcdStoreOptions) {
    this.#prefix = `${settings.prefix}/v1/`;
    this.#endpoints = settings.endpoints.join(',');
    this.#client = new RenewedClient(settings, () => patienceOf(settings, options), options.silent);
    this.leases = leasesOn((kind, request) => this.#call(kind, request));
    this.watches = watchesOn({
      call: (request) => this.#call('read', request),
      translate: (error) => translateError(error, this.#endpoints, false),
      keyOf: (key) => this.#key(key),
      nameOf: (key) => key.toString('utf8', this.#prefix.length),
      entryOf: (kv) => this.#entry(kv),
      endOf: prefixEnd,
    });
  }

  get(keys: readonly string[], options: ReadOptions = {}): Promise<(Entry | undefined)[]> {
    // More keys than a transaction may name are read in several, all as of the first one's moment.
    return readAgain(() => this.#getOnce(keys, options));
  }

  async #getOnce(keys: readonly string[], options: ReadOptions): Promise<(Entry | undefined)[]> {
    const entries: (Entry | undefined)[] = [];
    let revision: string | undefined;
    for (const some of chunks(keys, MAX_OPERATIONS)) {
      const pinned = revision;
      const response = await this.#txn('read', {
        success: some.map((key) => ({
          request_range: { key: this.#key(key), ...(pinned && { revision: pinned }) },
        })),
      });
      if (revision === undefined) {
        const { cluster_id: clusterId, revision: first } = response.header;
        revision = first;
        options.onState?.({ clusterId, revision });
      }
      for (const { response_range: range } of response.responses) {
        const [kv] = range.kvs;
        entries.push(kv && this.#entry(kv));
      }
    }
    return entries;
  }

  /**
   * A list that was compacted between two pages is read in larger ones from then on: a list of one
   * page is read however often etcd is compacted.
   */
  async *scan(prefix: string, options: ScanOptions = {}): AsyncIterable<Entry[]> {
    const limit = this.#compacted.has(prefix) ? LARGEST_PAGE : PAGE_SIZE;
    try {
      yield* this.#pages(prefix, limit, options);
    } catch (error) {
      if (error instanceof IpamError && error.code === 'store-compacted') this.#compacted.add(prefix);
      throw error;
    }
  }

  async *#pages(prefix: string, limit: number, options: ScanOptions): AsyncIterable<Entry[]> {
    const end = prefixEnd(this.#key(prefix));
    let from = this.#key(prefix);
    let revision: string | undefined;
    for (;;) {
      const page = await this.#call('read', ({ kv }) =>
        kv.range({
          key: from,
          range_end: end,
          limit,
          keys_only: options.keysOnly ?? false,
          ...(revision !== undefined && { revision }),
        }),
      );
      if (revision === undefined) {
        revision = page.header.revision;
        options.onRevision?.(revision);
      }
      if (page.kvs.length > 0) yield page.kvs.map((kv) => this.#entry(kv));
      const last = page.kvs.at(-1);
      if (!page.more || !last) return;
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async count(prefixes: readonly string[]): Promise<number[]> {
    const counts: number[] = [];
    for (const some of chunks(prefixes, MAX_OPERATIONS)) {
      const response = await this.#txn('read', {
        success: some.map((prefix) => {
          const key = this.#key(prefix);
          return { request_range: { key, range_end: prefixEnd(key), count_only: true } };
        }),
      });
      counts.push(...response.responses.map((each) => Number(each.response_range.count)));
    }
    return counts;
  }

  async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined> {
    const response = await this.#txn('write', {
      compare: guards.map((guard) => this.#compare(guard)),
      success: writes.map((write) => this.#operation(write)),
    });
    return response.succeeded ? response.header.revision : undefined;
  }

  close(): void {
    this.#client.close();
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #entry(kv: IKeyValue): Entry {
    return {
      key: kv.key.toString('utf8').slice(this.#prefix.length),
      value: kv.value.toString('utf8'),
      revision: kv.mod_revision,
    };
  }

  #compare(guard: Guard): ICompare {
    switch (guard.kind) {
      case 'same':
        return {
          target: 'Value',
          result: 'Equal',
          key: this.#key(guard.key),
          value: Buffer.from(guard.value),
        };
      case 'unchanged':
        return { target: 'Mod', result: 'Equal', key: this.#key(guard.key), mod_revision: guard.revision };
      case 'absent':
        return { target: 'Create', result: 'Equal', key: this.#key(guard.key), create_revision: 0 };
      case 'none':
        return { target: 'Create', result: 'Equal', ...this.#below(guard.prefix), create_revision: 0 };
      case 'nothing-newer':
        return {
          target: 'Mod',
          result: 'Less',
          ...this.#below(guard.prefix),
          mod_revision: next(guard.revision),
        };
    }
  }

  /** Compares every key below the prefix. It holds if there is none: absent keys compare as 0. */
  #below(prefix: string): { key: Buffer; range_end: Buffer } {
    const key = this.#key(prefix);
    return { key, range_end: prefixEnd(key) };
  }

  #operation(write: Write): IRequestOp {
    const key = this.#key(write.key);
    if (write.kind === 'delete') return { request_delete_range: { key } };
    const { value, lease } = write;
    return { request_put: { key, value: Buffer.from(value), ...(lease !== undefined && { lease }) } };
  }

  #txn(kind: 'read' | 'write', request: ITxnRequest): Promise<ITxnResponse> {
    return this.#call(kind, ({ kv }) => kv.txn(request));
  }

  async #call<T>(kind: 'read' | 'write', request: (client: Etcd3) => Promise<T>): Promise<T> {
    try {
      return await this.#client.use(request);
    } catch (error) {
      throw translateError(error, this.#endpoints, kind === 'write');
    }
  }
}

/**
 * Returns how long to wait for a request, in milliseconds. One endpoint gets the whole time. Of
 * several, each gets at least a third, so that a dead first one leaves time for another.
 */
function patienceOf(settings: EtcdSettings, options: EtcdStoreOptions): number {
  const share = (options.deadlineMs ?? DEFAULT_DEADLINE_MS) / Math.min(settings.endpoints.length, 3);
  return Math.min(share, (options.expiresAt ?? Infinity) - performance.now());
}

/** Returns the first key after the prefix: its last byte plus one. Prefixes end with `/`. */
function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

const next = (revision: string): string => String(BigInt(revision) + 1n);

function* chunks<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}
