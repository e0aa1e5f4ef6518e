import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError } from './errors.ts';

/** Ends an operation early: at its deadline, or when the caller cancels it. */
export interface Limit {
  readonly signal: AbortSignal;
  /** From the start to the deadline. */
  readonly totalMs: number;
  readonly remainingMs: () => number;
  /** Waits `ms` milliseconds. Rejects as soon as the limit is reached. */
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * Runs `work`, and aborts it after `deadlineMs` or when the caller aborts `signal`.
 * @throws KubeError `timeout` or `cancelled` after an abort, whatever error `work` rejects with
 */
export async function within<T>(
  {
    deadlineMs,
    what,
    signal,
  }: { readonly deadlineMs: number; readonly what: string; readonly signal?: AbortSignal | undefined },
  work: (limit: Limit) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const endsAt = performance.now() + deadlineMs;
  const timer = setTimeout(() => {
    controller.abort(new KubeError('timeout', `${what}: not done within ${deadlineMs} ms`));
  }, deadlineMs);
  const onAbort = (): void =>
    controller.abort(new KubeError('cancelled', `${what}: cancelled`, { cause: signal?.reason }));
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    controller.signal.throwIfAborted();
    return await work({
      signal: controller.signal,
      totalMs: deadlineMs,
      remainingMs: () => Math.max(0, endsAt - performance.now()),
      pause: (ms) => sleep(ms, undefined, { signal: controller.signal }),
    });
  } catch (error) {
    throw controller.signal.aborted ? withLastTrouble(controller.signal.reason as KubeError, error) : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Appends the last error, because it shows what the operation was waiting for. */
function withLastTrouble(reason: KubeError, error: unknown): KubeError {
  if (error === reason || !(error instanceof KubeError)) return reason;
  return new KubeError(reason.code, `${reason.message} (at last: ${error.message})`, { cause: error });
}
