import type { KeptTerms } from '../../ipam/audit/kept-pods.ts';
import type { Cidr } from '../../ipam/model/address.ts';
import type { GuardOptions } from './cluster-guard.ts';
import type { FreedReason } from './end-leaks.ts';
import type { Findings } from './findings.ts';
import type { FreeOutcome } from './free.ts';
import type { SavedReport } from './report.ts';

export interface RoundOptions extends GuardOptions {
  readonly graceMs: number;
  /** Longest wait for agents that clear away what was condemned, in milliseconds. */
  readonly waitMs: number;
  readonly repair: boolean;
  /** Skips the confirmation. */
  readonly yes: boolean;
  /** Releases even when the API server has no pod at all. */
  readonly evenIfNoPods: boolean;
  readonly save: string | undefined;
  readonly log: string | undefined;
  /** Subnets from which another network gives addresses to pods. */
  readonly otherSubnets: readonly Cidr[];
  /** When it ends what is kept for pods that no StatefulSet makes any more. */
  readonly kept: KeptTerms;
  /** Tells a text the first time. Default: each round tells it. */
  readonly warnOnce?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** The result of one round of looking, releasing and repairing. */
export interface Round {
  readonly found: Findings;
  /** How many things are still wrong. */
  readonly left: number;
  /** True when they mean nothing, because the API server is another cluster's. */
  readonly isMeaningless: boolean;
}

/**
 * Receives what a round finds and does, as it happens. A round that fails later has still done it.
 */
export interface RoundTold {
  /** Called before the round changes anything. */
  readonly found: (found: Findings, report: SavedReport & object) => void;
  readonly outcome?: (outcome: FreeOutcome, reason: FreedReason | undefined) => void;
  readonly repaired?: () => void;
}
