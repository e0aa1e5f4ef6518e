import { IpamError } from '../model/errors.ts';
import { QueuedRequest } from './queued-request.ts';
import { runRequests, type NodeRequest, type RunContext, type Runner } from './runner.ts';

/** With more requests a transaction would exceed etcd's `--max-txn-ops` (128). */
const MAX_BATCH = 32;

/**
 * Most requests that wait at once for one node: an allocation and a release for each of the 250
 * pods that a node is planned for, and as much again.
 */
const MAX_QUEUED = 1_000;

/** What the batcher needs of a {@link QueuedRequest} of any result. */
type Waiting = Pick<QueuedRequest<unknown>, 'request' | 'expiresAt' | 'settle' | 'expire'>;

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
   * @param patienceMs how long a caller without a deadline of its own waits. A request that waits
   *   longer is rejected with IpamError `store-unreachable`.
   */
  constructor(context: RunContext, patienceMs: number) {
    this.#context = context;
    this.#patienceMs = patienceMs;
  }

  /**
   * @param expiresAt deadline of the caller, in milliseconds of the monotonic clock
   * @throws IpamError as `Runner`; `busy`
   */
  run<T>(
    node: string,
    request: NodeRequest<T>,
    expiresAt = this.#context.effects.monotonic() + this.#patienceMs,
  ): Promise<T> {
    const waiting = this.#waiting.get(node);
    if (waiting && waiting.length >= MAX_QUEUED) {
      const what = `${MAX_QUEUED} requests for node '${node}' wait for etcd already`;
      return Promise.reject(new IpamError('busy', what));
    }
    const each = new QueuedRequest(request, expiresAt, this.#context.effects);
    // The batcher passes each request its own result.
    if (waiting) waiting.push(each);
    else {
      const queue = [each as Waiting];
      this.#waiting.set(node, queue);
      void this.#runAll(node, queue);
    }
    return each.outcome;
  }

  async #runAll(node: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, MAX_BATCH);
      const { unanswered, left } = await this.#runBatch(node, batch);
      queue.unshift(...left);
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
    const reason = new IpamError('store-unreachable', message);
    for (const each of late) each.settle({ status: 'rejected', reason });
  }

  /**
   * @returns the error if etcd did not answer, and the requests that did not fit into the
   *   transaction
   */
  async #runBatch(
    node: string,
    batch: readonly Waiting[],
  ): Promise<{ readonly unanswered?: IpamError; readonly left: readonly Waiting[] }> {
    const now = this.#context.effects.monotonic();
    const due = batch.filter(({ expiresAt }) => expiresAt >= now);
    for (const each of batch) if (each.expiresAt < now) each.expire();
    if (due.length === 0) return { left: [] };
    try {
      const requests = due.map(({ request }) => request);
      const results = await runRequests(this.#context, node, requests);
      due.forEach((each, i) => {
        const result = results[i];
        if (result) each.settle(result);
      });
      return { left: due.slice(results.length) };
    } catch (reason) {
      for (const each of due) each.settle({ status: 'rejected', reason });
      const isUnanswered = reason instanceof IpamError && reason.code === 'store-unreachable';
      return { ...(isUnanswered && { unanswered: reason }), left: [] };
    }
  }
}
