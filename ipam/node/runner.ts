import type { Effects } from '../model/effects.ts';
import { retryLostRaces } from '../store/retry.ts';
import type { Store } from '../store/store.ts';
import { readNodeBlocks, type NodeBlocks } from './node-blocks.ts';
import type { Observer } from './observer.ts';
import { NodeTransaction } from './transaction.ts';

/** One change of what a node holds. */
export interface NodeRequest<T> {
  /**
   * Changes the transaction, and returns what its caller learns once that is written. Undefined: another writer was first, or
   * the transaction stands on a cache that is not good enough; the runner then reads everything anew. What it throws concerns
   * this request alone: it must not have changed the transaction by then.
   * @param lost how many races were lost so far
   */
  readonly change: (transaction: NodeTransaction, lost: number) => Promise<T | undefined> | T | undefined;
  /** Learns what is about to be written: in the end it may be something else, or nothing. */
  chosen?(value: T): void;
}

/** Runs changes of nodes' blocks: each by itself, or those of concurrent callers together. */
export interface Runner {
  /** @throws IpamError `contention`, `store-…`; where `uncertain` is set, the change may have been written all the same */
  run<T>(node: string, request: NodeRequest<T>): Promise<T>;
}

/** What nodes hold, as this process has last read or written it. A write that does not fit any more drops it. */
export type NodeBlocksCache = Pick<Map<string, NodeBlocks>, 'get' | 'set' | 'delete'>;

/** Remembers nothing: every request reads anew. */
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

/** Runs each request at once, in a transaction of its own. */
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
 * Runs requests of one node in one transaction: all that do not fail by themselves, or none.
 * @returns what became of each
 * @throws IpamError `contention`, `store-…`: of all of them; where `uncertain` is set, they may have been written
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
    // Until the write has gone through, nobody knows what is there.
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
    // What the callers begin now gets under way first: the kernel works at it while this write is made ready.
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

/** Undefined where one of them wants everything read anew. */
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
