import { Counter, Gauge, Registry } from 'prom-client';
import type { HealthReport } from '../../cni/agent/health.ts';
import type { MetricsSource } from '../../cni/agent/metrics-server.ts';
import { UsageMetrics } from '../../cni/agent/usage-metrics.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import type { IndexReason } from '../../ipam/audit/key-pair.ts';
import type { LeakReason, MissingReason } from '../../ipam/audit/judge.ts';
import type { UnneededReason } from '../../ipam/audit/kept-pods.ts';
import type { RecordReason } from '../../ipam/audit/record-audit.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import { ClusterError } from '../context/cluster.ts';
import type { FreedReason } from './end-leaks.ts';
import type { Findings } from './findings.ts';
import type { FreeOutcome } from './free.ts';

const LEAK_REASONS: Readonly<Record<LeakReason, true>> = {
  'pod-gone': true,
  'node-gone': true,
  'pod-replaced': true,
  'pod-finished': true,
  'host-network': true,
  superseded: true,
};
const KEPT_REASONS: Readonly<Record<UnneededReason, true>> = { 'scaled-down': true, orphaned: true };
const MISSING_REASONS: Readonly<Record<MissingReason, true>> = {
  'not-held': true,
  'held-by-another': true,
  'no-range': true,
};
type AmissReason = RecordReason | IndexReason | 'node-gone' | 'two-names' | 'lost';
const RECORD_REASONS: Readonly<Record<AmissReason, true>> = {
  unreadable: true,
  unsound: true,
  'no-range': true,
  'no-index': true,
  'no-block': true,
  'wrong-node': true,
  'no-key': true,
  'stale-key': true,
  'node-gone': true,
  'two-names': true,
  lost: true,
};
const SOURCES = ['etcd', 'kubernetes', 'cluster', 'other'] as const;

/**
 * Counts what `check --watch` finds and does, for Prometheus. No label names a pod, a node or an
 * address.
 */
export class CheckMetrics implements MetricsSource {
  readonly #registry = new Registry();
  readonly #gauge = (name: string, help: string): Gauge =>
    new Gauge({ name: `cellnet_check_${name}`, help, registers: [this.#registry] });
  readonly #allocated = this.#gauge('allocated', 'Addresses that are given out');
  readonly #pods = this.#gauge('pods', 'Pods that the API server has');
  readonly #unknown = this.#gauge('unknown', 'Allocations that name no pod, and count as in use');
  readonly #conflicts = this.#gauge('conflicts', 'Addresses that several running pods have');
  readonly #lastSuccess = this.#gauge('last_success_timestamp_seconds', 'When a round was last carried out');
  readonly #duration = this.#gauge('duration_seconds', 'How long that round took, with the grace');
  readonly #leaked = new Gauge({
    name: 'cellnet_check_leaked',
    help: 'Leaked addresses that the last round found',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #keptUnmade = new Gauge({
    name: 'cellnet_check_kept_unmade',
    help: 'Addresses that are kept for pods which no StatefulSet makes any more',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #missing = new Gauge({
    name: 'cellnet_check_missing',
    help: 'Addresses of running pods that etcd does not hold for them',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #records = new Gauge({
    name: 'cellnet_check_records',
    help: 'Records in etcd that the last round found amiss',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #released = new Counter({
    name: 'cellnet_check_released_total',
    help: 'Leaked and kept addresses that were released',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #condemned = new Counter({
    name: 'cellnet_check_condemned_total',
    help: 'Leaked addresses that were left to their living nodes to clear away',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #kept = new Counter({
    name: 'cellnet_check_kept_total',
    help: 'Addresses that the last look kept from being released',
    registers: [this.#registry],
  });
  readonly #repaired = new Counter({
    name: 'cellnet_check_repaired_total',
    help: 'Keys that follow from blocks and were repaired',
    registers: [this.#registry],
  });
  readonly #errors = new Counter({
    name: 'cellnet_check_errors_total',
    help: 'Rounds that failed',
    labelNames: ['source'],
    registers: [this.#registry],
  });
  /** How full all ranges are. */
  readonly usage = new UsageMetrics([this.#registry], () => () => true, true);
  #failure: string | undefined = 'no round was carried out yet';

  constructor() {
    for (const source of SOURCES) this.#errors.inc({ source }, 0);
    for (const reason of Object.keys(LEAK_REASONS)) {
      this.#released.inc({ reason }, 0);
      this.#condemned.inc({ reason }, 0);
    }
    for (const reason of Object.keys(KEPT_REASONS)) this.#released.inc({ reason }, 0);
  }

  found(found: Findings): void {
    this.#allocated.set(found.allocated);
    this.#pods.set(found.pods);
    this.#unknown.set(found.unknown.length);
    this.#conflicts.set(found.conflicts.length);
    count(this.#leaked, Object.keys(LEAK_REASONS), found.leaked);
    count(this.#keptUnmade, Object.keys(KEPT_REASONS), found.kept);
    count(this.#missing, Object.keys(MISSING_REASONS), found.missing);
    count(this.#records, Object.keys(RECORD_REASONS), [
      ...found.records,
      ...found.index,
      ...found.stranded.map(() => ({ reason: 'node-gone' })),
      ...found.aliases.map(() => ({ reason: 'two-names' })),
      ...found.lost.nodes.map(() => ({ reason: 'lost' })),
      ...found.lost.unreadable.map(() => ({ reason: 'unreadable' })),
    ]);
  }

  outcome(outcome: FreeOutcome, reason: FreedReason | undefined): void {
    if (outcome.kind === 'cleared') return;
    if (outcome.kind === 'released') this.#released.inc({ reason: outcome.reason ?? reason ?? 'unknown' });
    else if (outcome.kind !== 'condemned') this.#kept.inc();
    else if (!outcome.again) this.#condemned.inc({ reason: outcome.reason });
  }

  repaired(): void {
    this.#repaired.inc();
  }

  /** @param now milliseconds since 1970 */
  succeeded(now: number, tookMs: number): void {
    this.#failure = undefined;
    this.#lastSuccess.set(now / 1000);
    this.#duration.set(tookMs / 1000);
  }

  failed(error: unknown): void {
    this.#failure = messageOf(error);
    this.#errors.inc({ source: sourceOf(error) });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  health(): HealthReport {
    const reasons = this.#failure === undefined ? [] : [this.#failure];
    return { ok: reasons.length === 0, reasons, servers: [] };
  }
}

function sourceOf(error: unknown): (typeof SOURCES)[number] {
  if (error instanceof IpamError) return 'etcd';
  if (error instanceof KubeError) return 'kubernetes';
  return error instanceof ClusterError ? 'cluster' : 'other';
}

function count(
  gauge: Gauge,
  reasons: readonly string[],
  found: readonly { readonly reason: string }[],
): void {
  for (const reason of reasons) gauge.set({ reason }, found.filter((each) => each.reason === reason).length);
}
