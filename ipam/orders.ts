import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Ipam } from './allocator.ts';
import { IpamError } from './errors.ts';
import { Draft, readHoldings, type NodeHoldings } from './holdings.ts';
import { retryLostRaces } from './retry.ts';

/** One change of what a node holds. */
export interface Order<T> {
  /**
   * Changes the draft, and returns what its caller is told once that is written. Undefined: others were faster, or the draft
   * stands on a cache that is not good enough; all is read anew then. What it throws concerns it alone: it must not
   * have changed the draft by then.
   * @param lost how many races were lost so far
   */
  readonly change: (draft: Draft, lost: number) => Promise<T | undefined>;
  /** Told what is about to be written: it may come otherwise, or not at all. */
  chosen?(value: T): void;
}

/** What nodes hold, as this process has last read or written it. A write that does not fit any more drops it. */
export type HoldingsCache = Map<string, NodeHoldings>;

/**
 * Carries out orders of one node in one transaction: all that do not fail by themselves, or none.
 * @returns what became of each
 * @throws IpamError `contention`, `store-…`: of all of them; where `uncertain` is set, they may have been carried out
 */
export async function carryOut<T>(
  ipam: Ipam,
  node: string,
  orders: readonly Order<T>[],
): Promise<PromiseSettledResult<T>[]> {
  const { store, around, cache, witness } = ipam;
  let lost = 0;
  return await retryLostRaces(`changing the blocks of node '${node}'`, around, async () => {
    const known = cache?.get(node);
    const before = known ?? (await readHoldings(store, node));
    if (!known) witness?.holds(node, before.holdings);
    const draft = new Draft(node, before, known !== undefined);
    // Until the write has gone through, nobody knows what is there.
    cache?.delete(node);
    const results = await tryAll(orders, draft, lost);
    if (results && draft.isEmpty) {
      if (known) cache?.set(node, known);
      return results;
    }
    const { guards, writes } = draft.change;
    results?.forEach((result, i) => {
      if (result.status === 'fulfilled') orders[i]?.chosen?.(result.value);
    });
    // What they begin at once comes first: others work at it while this write is made ready.
    if (orders.some((order) => 'chosen' in order)) await nextTurn();
    const revision = results && (await store.commit(guards, writes));
    if (revision === undefined) {
      if (!draft.cached) lost++;
      return undefined;
    }
    const after = draft.after(revision);
    cache?.set(node, after);
    witness?.wrote(draft.tally);
    witness?.holds(node, after.holdings);
    return results;
  });
}

/** Undefined where one of them wants everything read anew. */
async function tryAll<T>(
  orders: readonly Order<T>[],
  draft: Draft,
  lost: number,
): Promise<PromiseSettledResult<T>[] | undefined> {
  const results: PromiseSettledResult<T>[] = [];
  for (const order of orders) {
    try {
      const value = await order.change(draft, lost);
      if (value === undefined) return undefined;
      results.push({ status: 'fulfilled', value });
    } catch (reason) {
      results.push({ status: 'rejected', reason });
    }
  }
  return results;
}

/** One order, by itself or in the queue of the process that has one. */
export async function submit<T>(ipam: Ipam, node: string, order: Order<T>): Promise<T> {
  if (ipam.queue) return await ipam.queue.submit(node, order);
  const [result] = await carryOut(ipam, node, [order]);
  return unwrap(result);
}

function unwrap<T>(result: PromiseSettledResult<T> | undefined): T {
  if (result?.status === 'fulfilled') return result.value;
  throw result?.reason;
}

/** More orders than this would make a transaction that etcd refuses (`--max-txn-ops`, 128). */
const MAX_BATCH = 32;

interface Waiting {
  readonly order: Order<unknown>;
  readonly expiresAt: number;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Orders of concurrent callers in one process: while one transaction is under way, those that come are gathered for the
 * next. So callers of one node never race with each other, and many share a round trip.
 */
export class OrderQueue {
  readonly #ipam: Omit<Ipam, 'queue'>;
  readonly #patienceMs: number;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #running = new Set<string>();

  /** @param patienceMs longest wait in the queue; who has waited longer is told that the store does not answer */
  constructor(ipam: Omit<Ipam, 'queue'>, patienceMs: number) {
    this.#ipam = ipam;
    this.#patienceMs = patienceMs;
  }

  submit<T>(node: string, order: Order<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const queue = this.#waiting.get(node) ?? [];
      this.#waiting.set(node, queue);
      queue.push({ order, expiresAt: this.#ipam.around.now() + this.#patienceMs, resolve, reject });
      if (!this.#running.has(node)) void this.#run(node, queue);
    });
  }

  async #run(node: string, queue: Waiting[]): Promise<void> {
    this.#running.add(node);
    while (queue.length > 0) await this.#carryOut(node, queue.splice(0, MAX_BATCH));
    this.#running.delete(node);
    this.#waiting.delete(node);
  }

  async #carryOut(node: string, batch: readonly Waiting[]): Promise<void> {
    const now = this.#ipam.around.now();
    const [due, late] = [
      batch.filter((each) => each.expiresAt >= now),
      batch.filter((each) => each.expiresAt < now),
    ];
    for (const { reject } of late)
      reject(new IpamError('store-unreachable', `etcd did not answer within ${this.#patienceMs} ms`));
    try {
      const results = await carryOut(
        this.#ipam,
        node,
        due.map(({ order }) => order),
      );
      for (const [i, { resolve, reject }] of due.entries()) {
        const result = results[i];
        if (result?.status === 'fulfilled') resolve(result.value as never);
        else reject(result?.reason);
      }
    } catch (error) {
      for (const { reject } of due) reject(error);
    }
  }
}
