import type { Effects } from '../model/effects.ts';
import { retryLostRaces } from '../store/retry.ts';
import type { Store } from '../store/store.ts';
import { readNodeBlocks, type NodeBlocks } from './node-blocks.ts';
import type { Observer } from './observer.ts';
import { NodeTransaction } from './transaction.ts';

/** One change of a node's blocks. */
export interface NodeRequest<T> {
  /**
   * Changes the transaction and returns the result for the caller, valid once it is written.
   * Returns undefined if another writer was first, or if the cached data behind the transaction
   * does not suffice; the runner then reads everything again. An error that it throws fails only
   * this request: the request must not have changed the transaction by then.
   * @param lost how many races were lost so far
   */
  readonly change: (transaction: NodeTransaction, lost: number) => Promise<T | undefined> | T | undefined;
  /** Receives the result before the write. The write may fail or bring another result. */
  chosen?(value: T): void;
}

/** Runs changes of node blocks: each in its own transaction, or concurrent ones together. */
export interface Runner {
  /** @throws IpamError `contention`, `store-…`; if `uncertain` is set, etcd may have written it */
  run<T>(node: string, request: NodeRequest<T>): Promise<T>;
}

/**
 * Node blocks as this process last read or wrote them. A write that fails its comparison drops the
 * entry.
 */
export type NodeBlocksCache = Pick<Map<string, NodeBlocks>, 'get' | 'set' | 'delete'>;

/** Caches nothing: every request reads again. */
export const noCache: NodeBlocksCache = {
  get: () => undefined,
  set: () => new Map(),
  delete: () => false,
};

export interface RunContext {
  readonly store: Store;
  readonly effects: Effects;
  readonly observer: Observer;
  readonly cache: NodeBlocksCache;
}

/** Runs each request at once, in its own transaction. */
export class DirectRunner implements Runner {
  readonly #context: RunContext;

  constructor(context: RunContext) {
    this.#context = context;
  }

  async run<T>(node: string, request: NodeRequest<T>): Promise<T> {
    const [result] = await runRequests(this.#context, node, [request]);
    if (result?.status === 'fulfilled') return result.value;
    throw result?.reason;
  }
}

/**
 * Runs requests of one node in one transaction: it writes all whose change does not throw, or none.
 * @returns the outcome of each request
 * @throws IpamError `contention`, `store-…` for all requests; with `uncertain` set, etcd may have
 *   written them
 */
export async function runRequests<T>(
  { store, effects, observer, cache }: RunContext,
  node: string,
  requests: readonly NodeRequest<T>[],
): Promise<PromiseSettledResult<T>[]> {
  let lost = 0;
  return await retryLostRaces(`changing the blocks of node '${node}'`, effects, async () => {
    const known = cache.get(node);
    const before = known ?? (await readNodeBlocks(store, node));
    if (!known) observer.holds(node, before.blocks);
    const transaction = new NodeTransaction(node, before, known !== undefined);
    // Until the write has succeeded, the state in etcd is unknown.
    cache.delete(node);
    const results = await tryAll(requests, transaction, lost);
    if (results && transaction.isEmpty) {
      if (known) cache.set(node, known);
      return results;
    }
    const { guards, writes } = transaction.change;
    results?.forEach((result, i) => {
      if (result.status === 'fulfilled') requests[i]?.chosen?.(result.value);
    });
    // Callers start their I/O first: the kernel works on it while this process prepares the write.
    if (requests.some((request) => 'chosen' in request)) await effects.yieldTurn();
    const revision = results && (await store.commit(guards, writes));
    if (revision === undefined) {
      if (!transaction.cached) lost++;
      return undefined;
    }
    const after = transaction.after(revision);
    cache.set(node, after);
    observer.wrote(transaction.tally);
    observer.holds(node, after.blocks);
    return results;
  });
}

/** Returns undefined if one of the requests asks to read everything again. */
async function tryAll<T>(
  requests: readonly NodeRequest<T>[],
  transaction: NodeTransaction,
  lost: number,
): Promise<PromiseSettledResult<T>[] | undefined> {
  const results: PromiseSettledResult<T>[] = [];
  for (const request of requests) {
    try {
      const value = await request.change(transaction, lost);
      if (value === undefined) return undefined;
      results.push({ status: 'fulfilled', value });
    } catch (reason) {
      results.push({ status: 'rejected', reason });
    }
  }
  return results;
}
