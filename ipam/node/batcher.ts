import { IpamError } from '../model/errors.ts';
import { runRequests, type NodeRequest, type RunContext, type Runner } from './runner.ts';

/** With more requests a transaction would exceed etcd's `--max-txn-ops` (128). */
const MAX_BATCH = 32;

interface Waiting {
  readonly request: NodeRequest<unknown>;
  /** Milliseconds by the monotonic clock. */
  readonly expiresAt: number;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Runs requests of concurrent callers in one process. While one transaction of a node runs, it
 * collects further requests for the next. So callers of one node never race with each other, and
 * many share a round trip.
 */
export class Batcher implements Runner {
  readonly #context: RunContext;
  readonly #patienceMs: number;
  readonly #waiting = new Map<string, Waiting[]>();

  /**
   * @param patienceMs longest wait for a transaction to start. A request that waits longer is
   *   rejected with IpamError `store-unreachable`.
   */
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
    while (queue.length > 0) {
      const unanswered = await this.#runBatch(node, queue.splice(0, MAX_BATCH));
      if (unanswered) this.#rejectLate(queue, unanswered);
    }
    this.#waiting.delete(node);
  }

  /**
   * Rejects the requests that have waited for half of their time behind a transaction that etcd did
   * not answer: one more would take them far past their deadline. Nothing of theirs was sent.
   */
  #rejectLate(queue: Waiting[], { message }: IpamError): void {
    const now = this.#context.effects.monotonic();
    const late = queue.filter(({ expiresAt }) => expiresAt - now < this.#patienceMs / 2);
    const others = queue.filter((each) => !late.includes(each));
    queue.splice(0, queue.length, ...others);
    for (const { reject } of late) reject(new IpamError('store-unreachable', message));
  }

  /** Returns the error if etcd did not answer. */
  async #runBatch(node: string, batch: readonly Waiting[]): Promise<IpamError | undefined> {
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
      if (error instanceof IpamError && error.code === 'store-unreachable') return error;
    }
    return undefined;
  }
}
