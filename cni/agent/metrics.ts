import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Tally } from '../../ipam/model/block-counts.ts';
import type { WriteBackResult } from '../../ipam/node/observer.ts';
import type { Cleared, SweptKind } from '../platform/platform.ts';
import type { StepHook } from '../platform/steps.ts';
import { VERBS } from '../protocol/request.ts';
import {
  ODDITIES,
  PORT_FAULTS,
  REMAINS,
  type OddReason,
  type PortFault,
  type RemainsReason,
} from '../reconcile/verdict.ts';
import { DataplaneMetrics } from './dataplane/metrics.ts';
import { MasqueradeMetrics } from './masquerade-metrics.ts';
import { addScraped, type Scraped } from './scraped.ts';
import { UsageMetrics } from './usage-metrics.ts';

/** Upper bounds in seconds, from a warm call to a call that waits for its turn. */
const CALL_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const STEP_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Interval at which Node.js samples the event loop lag. The default of 10 ms costs an idle agent
 * 0.6 % of a processor.
 */
const LAG_EVERY_MS = 100;

const ETCD_CODES = ['store-unreachable', 'store-denied', 'store-failed'] as const;
const OVSDB_CODES = [
  'unreachable',
  'connection-lost',
  'timeout',
  'busy',
  'protocol',
  'bridge-missing',
  'port-exists',
  'port-failed',
  'port-timeout',
  'uplink-taken',
] as const;

/** The outcome of one reconcile. */
export interface ReconcileNote {
  readonly seconds: number;
  /** Reasons of the findings that this reconcile proved for the first time. */
  readonly found: readonly FoundReason[];
  /** Reasons of the findings that are proven, and neither cleared nor repaired. */
  readonly open: readonly FoundReason[];
  /**
   * Whether the reconcile looked at everything and settled every finding, apart from those that
   * only an operator can resolve.
   */
  readonly settled: boolean;
}

type FoundReason = RemainsReason | OddReason | PortFault;
const FOUND_REASONS: readonly FoundReason[] = [...REMAINS, ...ODDITIES, ...PORT_FAULTS];

/** What becomes of an address that etcd had forgotten. */
const WRITE_BACKS = ['restored', 'set-aside', 'conflict', 'no-range'] as const;

const SWEPT: readonly SweptKind[] = ['port', 'link', 'record'];

/**
 * Stands for every error string of the database itself (RFC 7047 section 4.1.3), so that the number
 * of series is bounded.
 */
const REFUSED = 'refused';

/** The agent's metrics in Prometheus text format. No label names a pod, container or address. */
export class Metrics {
  /** Metrics of the bridges' programs. */
  readonly dataplane: DataplaneMetrics;
  readonly masquerade: MasqueradeMetrics;
  /** How full ranges are in the whole cluster. */
  readonly usage: UsageMetrics;
  readonly #monotonic: () => number;
  readonly #registry = new Registry();
  readonly #calls: Histogram<'verb' | 'outcome'>;
  readonly #steps: Histogram<'verb' | 'step'>;
  readonly #underWay: Gauge;
  readonly #given: Counter;
  readonly #released: Counter;
  readonly #etcdErrors: Counter<'code'>;
  readonly #ovsdbErrors: Counter<'code'>;
  readonly #found: Counter<'reason'>;
  readonly #open: Gauge<'reason'>;
  readonly #freed: Counter<'reason'>;
  readonly #swept: Counter<'kind'>;
  readonly #setBacks: Counter;
  readonly #wroteBack: Counter<'outcome'>;
  readonly #reconciles: Counter<'outcome'>;
  readonly #reconciledAt: Gauge;
  readonly #reconcileSeconds: Gauge;
  /** The runtime's calls since the start, and the version of the latest one's plugin. */
  readonly calls: { served: number; failed: number; plugin: string | undefined } = {
    served: 0,
    failed: 0,
    plugin: undefined,
  };

  /** @param monotonic milliseconds from an arbitrary start */
  constructor(version: string, scraped: Scraped, monotonic: () => number) {
    this.#monotonic = monotonic;
    const registers = [this.#registry];
    this.#calls = new Histogram({
      name: 'cellnet_call_duration_seconds',
      help: 'Duration of whole calls, with the wait for their turn, by verb and outcome (done, failed)',
      labelNames: ['verb', 'outcome'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.#steps = new Histogram({
      name: 'cellnet_step_duration_seconds',
      help: 'Duration of the steps of a verb that succeeded',
      labelNames: ['verb', 'step'],
      buckets: STEP_BUCKETS,
      registers,
    });
    this.#underWay = new Gauge({
      name: 'cellnet_calls_under_way',
      help: 'Calls that are being served now, those that wait for their turn included',
      registers,
    });
    this.#given = new Counter({
      name: 'cellnet_allocations_total',
      help: 'Addresses that the agent has given out',
      registers,
    });
    this.#released = new Counter({
      name: 'cellnet_releases_total',
      help: 'Addresses that the agent has taken back',
      registers,
    });
    this.#etcdErrors = new Counter({
      name: 'cellnet_etcd_errors_total',
      help: 'Requests to etcd that failed, by the code of docs/errors.md',
      labelNames: ['code'],
      registers,
    });
    this.#ovsdbErrors = new Counter({
      name: 'cellnet_ovsdb_errors_total',
      help: 'Requests to Open vSwitch that failed, by code; refused: an error of the database itself',
      labelNames: ['code'],
      registers,
    });
    for (const code of ETCD_CODES) this.#etcdErrors.inc({ code }, 0);
    for (const code of [...OVSDB_CODES, REFUSED]) this.#ovsdbErrors.inc({ code }, 0);
    this.#found = new Counter({
      name: 'cellnet_leaks_found_total',
      help: 'What reconciling has proven to be left of attachments that are gone, and what is not as it should be, by reason',
      labelNames: ['reason'],
      registers,
    });
    this.#open = new Gauge({
      name: 'cellnet_leaks',
      help: 'Of these what was not put right when the node was last reconciled, by reason',
      labelNames: ['reason'],
      registers,
    });
    this.#freed = new Counter({
      name: 'cellnet_leaks_freed_total',
      help: 'Addresses that were released because their container is gone, by reason; also in cellnet_releases_total',
      labelNames: ['reason'],
      registers,
    });
    this.#swept = new Counter({
      name: 'cellnet_swept_total',
      help: 'Ports, links and records of attachments that are gone, which reconciling removed',
      labelNames: ['kind'],
      registers,
    });
    this.#setBacks = new Counter({
      name: 'cellnet_etcd_set_backs_total',
      help: 'How often this node found that etcd was set back to an earlier state, or replaced',
      registers,
    });
    this.#wroteBack = new Counter({
      name: 'cellnet_write_backs_total',
      help: 'Addresses that pods of this node use and etcd had forgotten, by outcome',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of WRITE_BACKS) this.#wroteBack.inc({ outcome }, 0);
    this.#reconciles = new Counter({
      name: 'cellnet_reconciles_total',
      help: 'How often the node was reconciled, by outcome (done, incomplete)',
      labelNames: ['outcome'],
      registers,
    });
    this.#reconciledAt = new Gauge({
      name: 'cellnet_reconcile_last_timestamp_seconds',
      help: 'When everything on the node was last looked at and put right, in seconds since 1970; 0: never',
      registers,
    });
    this.#reconcileSeconds = new Gauge({
      name: 'cellnet_reconcile_last_duration_seconds',
      help: 'Duration of the last reconcile',
      registers,
    });
    for (const reason of [...REMAINS, 'superseded']) this.#freed.inc({ reason }, 0);
    for (const reason of FOUND_REASONS) this.#found.inc({ reason }, 0);
    for (const kind of SWEPT) this.#swept.inc({ kind }, 0);
    for (const outcome of ['done', 'incomplete']) this.#reconciles.inc({ outcome }, 0);
    this.#setOpen([]);
    addScraped(registers, scraped);
    this.dataplane = new DataplaneMetrics(registers);
    this.masquerade = new MasqueradeMetrics(registers);
    const isHeld = (): ((range: string) => boolean) => {
      const held = new Set(scraped.ranges().map(({ range }) => range));
      return (range) => held.has(range);
    };
    this.usage = new UsageMetrics(registers, isHeld, false);
    new Gauge({
      name: 'cellnet_build_info',
      help: 'Always 1; the version of cellnet and of Node.js',
      labelNames: ['version', 'node_version'],
      registers,
    }).set({ version, node_version: process.version }, 1);
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LAG_EVERY_MS });
  }

  /**
   * Counts a call as begun. Returns a function that the caller calls at its end, with undefined for
   * a call that was not served.
   * @param plugin version of the plugin that sends it; undefined for one that does not tell
   */
  beginCall(verb: string, plugin?: string): (failed: boolean | undefined) => void {
    const known = VERBS.find((each) => each === verb) ?? 'unknown';
    const started = this.#monotonic();
    this.#underWay.inc();
    return (failed) => {
      this.#underWay.dec();
      if (failed === undefined) return;
      if (known !== 'VERSION') this.#tally(failed, plugin);
      const seconds = (this.#monotonic() - started) / 1000;
      this.#calls.observe({ verb: known, outcome: failed ? 'failed' : 'done' }, seconds);
    };
  }

  /** Probes, which ask for the versions, are no calls of the runtime. */
  #tally(failed: boolean, plugin: string | undefined): void {
    if (failed) this.calls.failed++;
    else this.calls.served++;
    if (plugin !== undefined) this.calls.plugin = plugin;
  }

  /** Returns a hook for one call. Calls run concurrently, so each hook has its own start times. */
  stepTimer(): StepHook {
    const started = new Map<string, number>();
    return (verb, step, when) => {
      const now = this.#monotonic();
      const start = started.get(step);
      if (when === 'before') started.set(step, now);
      else if (start !== undefined) this.#steps.observe({ verb, step }, (now - start) / 1000);
    };
  }

  countAddresses({ given, released }: Tally): void {
    this.#given.inc(given);
    this.#released.inc(released);
  }

  /** Counts addresses, ports, links and records that were cleared without a DEL. */
  countCleared({ reason, released, swept }: Cleared): void {
    this.#freed.inc({ reason }, released.length);
    for (const kind of swept) this.#swept.inc({ kind });
  }

  countWriteBack({ reason, restored, setAside, conflicts, outside }: WriteBackResult): void {
    if (reason !== undefined) this.#setBacks.inc();
    this.#wroteBack.inc({ outcome: 'restored' }, restored.length);
    this.#wroteBack.inc({ outcome: 'set-aside' }, setAside.length);
    this.#wroteBack.inc({ outcome: 'conflict' }, conflicts.length);
    this.#wroteBack.inc({ outcome: 'no-range' }, outside.length);
  }

  noteReconcile({ seconds, found, open, settled }: ReconcileNote): void {
    for (const reason of found) this.#found.inc({ reason });
    this.#setOpen(open);
    this.#reconciles.inc({ outcome: settled ? 'done' : 'incomplete' });
    if (settled) this.#reconciledAt.setToCurrentTime();
    this.#reconcileSeconds.set(seconds);
  }

  #setOpen(open: readonly FoundReason[]): void {
    for (const reason of FOUND_REASONS) {
      this.#open.set({ reason }, open.filter((each) => each === reason).length);
    }
  }

  countEtcdError(code: string): void {
    this.#etcdErrors.inc({ code: ETCD_CODES.find((each) => each === code) ?? 'store-failed' });
  }

  countOvsdbError(code: string): void {
    this.#ovsdbErrors.inc({ code: OVSDB_CODES.find((each) => each === code) ?? REFUSED });
  }

  /** MIME type of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
