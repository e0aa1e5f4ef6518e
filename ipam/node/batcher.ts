import { IpamError } from '../model/errors.ts';
import { runRequests, type NodeRequest, type RunContext, type Runner } from './runner.ts';

/** More requests than this would make a transaction that etcd refuses (`--max-txn-ops`, 128). */
const MAX_BATCH = 32;

interface Waiting {
  readonly request: NodeRequest<unknown>;
  /** By the monotonic clock, in milliseconds. */
  readonly expiresAt: number;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Runs requests of concurrent callers in one process: while one transaction is under way, those that come are gathered for the
 * next. So callers of one node never race with each other, and many share a round trip.
 */
export class Batcher implements Runner {
  readonly #context: RunContext;
  readonly #patienceMs: number;
  readonly #waiting = new Map<string, Waiting[]>();

  /** @param patienceMs longest wait for a transaction; a request that has waited longer learns that etcd does not answer */
  constructor(context: RunContext, patienceMs: number) {
    this.#context = context;
    this.#patienceMs = patienceMs;
  }

  run<T>(node: string, request: NodeRequest<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const expiresAt = this.#context.effects.monotonic() + this.#patienceMs;
      const each = { request, expiresAt, resolve, reject };
      const waiting = this.#waiting.get(node);
      if (waiting) {
        waiting.push(each);
        return;
      }
      const queue = [each];
      this.#waiting.set(node, queue);
      void this.#runAll(node, queue);
    });
  }

  async #runAll(node: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) await this.#runBatch(node, queue.splice(0, MAX_BATCH));
    this.#waiting.delete(node);
  }

  async #runBatch(node: string, batch: readonly Waiting[]): Promise<void> {
    const now = this.#context.effects.monotonic();
    const due = batch.filter(({ expiresAt }) => expiresAt >= now);
    for (const { expiresAt, reject } of batch) {
      if (expiresAt < now)
        reject(new IpamError('store-unreachable', `etcd did not answer within ${this.#patienceMs} ms`));
    }
    try {
      const requests = due.map(({ request }) => request);
      const results = await runRequests(this.#context, node, requests);
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
