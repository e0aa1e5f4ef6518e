import type { Effects, Timer } from '../../ipam/model/effects.ts';
import type { Platform } from '../platform/platform.ts';
import type { Suspected } from '../reconcile/observations.ts';
import { failedReport, isSettled, reconcile, type ReconcileReport } from '../reconcile/reconcile.ts';
import type { ReconcileSettings } from '../reconcile/settings.ts';
import type { Metrics } from './metrics.ts';

/** First pause after an unsettled reconcile, in milliseconds. It doubles up to the interval. */
const RETRY_MS = 1_000;

/**
 * Pause before the agent reads the settings again, in milliseconds, when it cannot read them or
 * they turn reconciling off.
 */
const SETTINGS_EVERY_MS = 60_000;

/**
 * Returns the milliseconds until the next reconcile.
 * @param failedInARow number of unsettled reconciles in a row; 0 when the last one was settled
 * @param random in [0, 1); spreads out nodes that a power cut started together
 */
export function nextPauseMs(
  report: Pick<ReconcileReport, 'nextInMs'>,
  failedInARow: number,
  intervalMs: number,
  random: number,
): number {
  const usual = intervalMs * (0.9 + 0.2 * random);
  const retry = failedInARow > 0 ? RETRY_MS * 2 ** Math.min(failedInARow - 1, 20) : Infinity;
  return Math.min(usual, retry, report.nextInMs ?? Infinity);
}

/**
 * Reconciles the node from the agent's start on. It reports a failed reconcile in log and metrics,
 * and tries again.
 */
export class Reconciler {
  readonly #settings: () => ReconcileSettings;
  readonly #platform: () => Platform;
  readonly #metrics: Pick<Metrics, 'noteReconcile'>;
  #suspected: Suspected = new Map();
  /** Findings that the last reconcile did not clear. Each is counted and logged once. */
  #known: ReadonlySet<string> = new Set();
  #toldFailures = '';
  #failedInARow = 0;
  readonly #effects: Effects;
  #timer: Timer | undefined;
  #state: 'idle' | 'waits' | 'works' | 'stopped' = 'idle';
  /** Whether something happened during the reconcile under way that it may have missed. */
  #again = false;

  /**
   * @param settings reads the settings for each reconcile, so that changed files count; may throw
   * @param platform returns the platform for one reconcile
   */
  constructor(
    settings: () => ReconcileSettings,
    platform: () => Platform,
    metrics: Pick<Metrics, 'noteReconcile'>,
    effects: Effects,
  ) {
    this.#effects = effects;
    this.#settings = settings;
    this.#platform = platform;
    this.#metrics = metrics;
  }

  start(): void {
    this.#schedule(0);
  }

  /** Reconciles now, or as soon as the reconcile under way is done. Does nothing before `start`. */
  soon(): void {
    if (this.#state === 'works') this.#again = true;
    if (this.#state === 'waits') this.#schedule(0);
  }

  /** Does not wait for a reconcile under way, which can be interrupted at any point. */
  stop(): void {
    this.#state = 'stopped';
    this.#timer?.cancel();
  }

  #schedule(ms: number): void {
    if (this.#state === 'stopped') return;
    this.#timer?.cancel();
    this.#state = 'waits';
    this.#timer = this.#effects.schedule(ms, () => {
      this.#state = 'works';
      this.#again = false;
      void this.#run().then((next) => this.#schedule(this.#again ? 0 : next));
    });
  }

  /** Returns the milliseconds until the next reconcile. */
  async #run(): Promise<number> {
    const platform = this.#platform();
    let settings: ReconcileSettings;
    try {
      settings = this.#settings();
    } catch (error) {
      this.#note(platform, failedReport(error, this.#suspected), this.#effects.monotonic());
      return SETTINGS_EVERY_MS;
    }
    const { own, intervalMs, graceMs } = settings;
    if (intervalMs === 0) return SETTINGS_EVERY_MS;
    const at = this.#effects.monotonic();
    const options = { graceMs, dryRun: false, suspected: this.#suspected, at };
    const report = await reconcile(platform, own, options).catch((error: unknown) =>
      failedReport(error, this.#suspected),
    );
    this.#note(platform, report, at);
    return nextPauseMs(report, this.#failedInARow, intervalMs, this.#effects.random());
  }

  #note(platform: Platform, report: ReconcileReport, startedAt: number): void {
    const { findings, failures, pending, suspected } = report;
    this.#suspected = suspected;
    this.#failedInARow = isSettled(report) ? 0 : this.#failedInARow + 1;
    const proven = findings.filter(({ outcome }) => outcome !== 'waiting' && outcome !== 'changed');
    const fresh = proven.filter(({ id }) => !this.#known.has(id));
    const open = proven.filter(({ outcome }) => outcome !== 'cleared' && outcome !== 'repaired');
    this.#known = new Set(open.map(({ id }) => id));
    for (const { outcome, containerId, ifname, pod = '', ips, reason } of fresh) {
      if (outcome === 'kept') {
        const fields = { containerId, ifname, pod, ips, reason };
        if (reason === 'unproven') platform.log.info('an address of which nothing is known is kept', fields);
        else platform.log.warn('an interface is not as it should be', fields);
      }
    }
    const seconds = (this.#effects.monotonic() - startedAt) / 1000;
    this.#metrics.noteReconcile({
      seconds,
      found: fresh.map(({ reason }) => reason),
      open: open.map(({ reason }) => reason),
      settled: isSettled(report),
    });
    const isNews = this.#tell(platform, failures);
    const count = (of: string): number => findings.filter(({ outcome }) => outcome === of).length;
    if (findings.length > 0 || pending.done > 0 || isNews) {
      platform.log.info('reconciled', {
        cleared: count('cleared'),
        repaired: count('repaired'),
        waiting: count('waiting'),
        failed: count('failed') + count('busy'),
        kept: count('kept'),
        pendingDone: pending.done,
        pendingLeft: pending.left,
        failures: failures.length,
        ms: Math.round(seconds * 1000),
      });
    }
  }

  /**
   * Logs the same failures once, and logs once when they are over.
   * @returns whether it has logged something
   */
  #tell(platform: Platform, failures: readonly string[]): boolean {
    const text = failures.join('; ');
    if (text === this.#toldFailures) return false;
    this.#toldFailures = text;
    if (text !== '')
      platform.log.warn('not everything could be reconciled: tried again', { reasons: failures });
    else platform.log.info('everything can be reconciled again');
    return true;
  }
}
