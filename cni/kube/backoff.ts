import type { Effects } from '../../ipam/model/effects.ts';
import { KubeError } from './errors.ts';

/* client-go's reflector has these values. */
const FIRST_MS = 800;
const LONGEST_MS = 30_000;
const RESET_MS = 120_000;
/** The shortest pause after a refusal that only an operator can end. */
const DENIED_MS = 30_000;
/** A server that names a longer pause would keep changes from the node for too long. */
const LONGEST_RETRY_AFTER_MS = 120_000;

/**
 * Pauses before further attempts. Each is twice as long as the last, up to 30 s, plus up to as much
 * again at random, so that the nodes of a cluster do not return to a server all at once.
 */
export class Backoff {
  readonly #effects: Pick<Effects, 'monotonic' | 'random'>;
  #nextMs = FIRST_MS;
  #lastAt = -Infinity;

  constructor(effects: Pick<Effects, 'monotonic' | 'random'>) {
    this.#effects = effects;
  }

  /** Returns the pause after a failure. Two minutes without a failure start it from the first. */
  nextMs(error: unknown): number {
    const { monotonic, random } = this.#effects;
    const now = monotonic();
    if (now - this.#lastAt > RESET_MS) this.#nextMs = FIRST_MS;
    this.#lastAt = now;
    const pauseMs = Math.max(this.#nextMs, leastMs(error)) * (1 + random());
    this.#nextMs = Math.min(this.#nextMs * 2, LONGEST_MS);
    return pauseMs;
  }
}

function leastMs(error: unknown): number {
  if (!(error instanceof KubeError)) return 0;
  if (error.code === 'unauthorized' || error.code === 'forbidden') return DENIED_MS;
  return Math.min(error.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS);
}
