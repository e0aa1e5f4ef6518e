import type { UnknownFields } from './unknown-fields.ts';

/**
 * A sentence on an allocation whose pod is gone: its node is to end the interface, and then to
 * release the address. Until then the address stays in use, because the interface may still answer
 * for it.
 */
export interface Condemnation {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The operator or check that found it, for the history: `alice@admin-1`. */
  readonly by: string;
  /** The kind of leak, for the history: `pod-gone`. */
  readonly reason: string;
  readonly unknownFields?: UnknownFields;
}

/**
 * How long a sentence holds, in milliseconds. A check that still finds the leak renews it. An older
 * one is not carried out, for the pod may be back since.
 */
export const SENTENCE_MS = 3_600_000;

/** Returns whether the node may carry the sentence out at this time. */
export function isInForce(condemned: Condemnation | undefined, now: number): boolean {
  return condemned !== undefined && Math.abs(now - condemned.at) < SENTENCE_MS;
}
