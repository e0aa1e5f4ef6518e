import { formatAddress } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { Failures } from '../attach/failures.ts';
import { finishDeferred, type DeferredOutcome } from '../deferred/deferred.ts';
import { Deadlines } from '../platform/deadlines.ts';
import type { Platform, SweptKind } from '../platform/platform.ts';
import { clear, type Clearing } from './clear.ts';
import { weigh, type Suspect, type Suspected } from './observations.ts';
import type { OwnPlace } from './places.ts';
import { rememberLiving } from './remember.ts';
import { findAbsentBridges, repair, type Repair } from './repair.ts';
import { survey, type Known } from './survey.ts';
import { judge, type OddReason, type PortFault, type RemainsReason, type Verdict } from './verdict.ts';

export interface ReconcileOptions {
  /** Minimum time between the two observations that prove a leak, in milliseconds. */
  readonly graceMs: number;
  /** Observes the node without changing anything. */
  readonly dryRun: boolean;
  /** The suspects of the previous observation. */
  readonly suspected: Suspected;
  /** The current time in milliseconds, from the monotonic clock of `suspected`. */
  readonly at: number;
}

export interface Finding {
  readonly id: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly pod: string | undefined;
  /** The addresses that etcd has allocated to it. */
  readonly ips: readonly string[];
  /** The addresses that its port has been made for. */
  readonly portIps: readonly string[];
  readonly reason: RemainsReason | OddReason | PortFault;
  /**
   * `waiting`: a second observation must prove it. `found`: proven in a dry run. `kept`: left for
   * an operator to examine. The others are the outcomes of `clear` and `repair`.
   */
  readonly outcome: 'waiting' | 'found' | 'kept' | Clearing['outcome'] | Repair['outcome'];
  readonly released: readonly string[];
  readonly swept: readonly SweptKind[];
  /** The reason for the outcome `failed`. */
  readonly error: string | undefined;
}

export interface ReconcileReport {
  readonly findings: readonly Finding[];
  /** The deferred teardowns. A dry run only counts them, in `left`. */
  readonly pending: DeferredOutcome;
  /** What reconcile could not read or finish, and why. */
  readonly failures: readonly string[];
  /** Input for the next observation. */
  readonly suspected: Suspected;
  /** Milliseconds until a second observation can prove a finding; undefined when none waits. */
  readonly nextInMs: number | undefined;
}

/**
 * Longest time that one reconcile spends on deferred teardowns, in milliseconds: longer than a
 * server's own deadline, so that the rest of the reconcile does not wait again for a silent one.
 */
const PENDING_BUDGET_MS = 10_000;

/**
 * Number of attachments that `settle` clears concurrently. Their changes share transactions, and
 * vswitchd's work for one transaction grows with its ports.
 */
const AT_ONCE = 32;

interface Judged extends Suspect {
  readonly known: Known;
  readonly verdict: Exclude<Verdict, { kind: 'lives' }>;
}

/**
 * Compares etcd's allocations for this node with the live attachments, clears what is proven gone,
 * and makes the ports again that living attachments lack. Needs no API server and waits for no
 * lock. When a server does not answer, continues with the others and reports the failure; the next
 * run tries again.
 */
export async function reconcile(
  outside: Platform,
  own: OwnPlace,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  // A server that does not answer now may answer the next reconcile of the same caller.
  const platform = { ...outside, deadlines: new Deadlines(outside.monotonic) };
  const failures = new Failures();
  const pending = await failures.attempt('teardowns put off', () => pendingOf(platform, own, options.dryRun));
  if (!options.dryRun)
    await failures.attempt('records half written', () => {
      platform.openState(own.stateDir).sweepUnfinished(platform.now());
    });
  const known = await failures.attempt('this node', () => survey(platform, own, failures, options.dryRun));
  const boot = { id: platform.bootId, startedAt: platform.bootedAt() };
  const judged = (known ?? []).flatMap((each) => judgedOf(each, judge(each, boot)));
  if (!options.dryRun)
    await failures.attempt('records of an earlier version', () => rememberLiving(platform, own, known ?? []));
  const weighed = weigh(judged, options.suspected, options.at, options.graceMs);
  const findings = await settle(platform, own, weighed.proven, failures, options.dryRun);
  return {
    findings: [...findings, ...weighed.waiting.map((each) => findingOf(each, { outcome: 'waiting' }))],
    pending: pending ?? { done: 0, left: 0 },
    failures: failures.texts,
    // A failed survey must not discard the earlier suspects.
    suspected: known ? weighed.suspected : options.suspected,
    nextInMs: weighed.nextInMs,
  };
}

async function pendingOf(
  platform: Platform,
  { stateDir }: OwnPlace,
  dryRun: boolean,
): Promise<DeferredOutcome> {
  if (dryRun) return { done: 0, left: platform.openState(stateDir).countPending() };
  return await finishDeferred({ settings: { stateDir } }, platform, PENDING_BUDGET_MS);
}

function judgedOf(known: Known, verdict: ReturnType<typeof judge>): Judged[] {
  if (verdict.kind === 'lives') return [];
  const allocations = known.held.map(({ address, slot }) => `${formatAddress(address)}@${slot.sequence}`);
  const id = [`${known.containerId}/${known.ifname}`, ...allocations.sort()].join(' ');
  switch (verdict.kind) {
    case 'odd':
      return [{ id: `${id} odd`, atOnce: false, known, verdict }];
    case 'broken':
      return [{ id: `${id} ${verdict.reason}`, atOnce: true, known, verdict }];
    case 'remains':
      return [{ id, atOnce: verdict.atOnce, known, verdict }];
  }
}

/** Clears proven remains and repairs ports, concurrently. */
async function settle(
  platform: Platform,
  own: OwnPlace,
  proven: readonly Judged[],
  failures: Failures,
  dryRun: boolean,
): Promise<Finding[]> {
  const broken = proven.filter(({ verdict }) => verdict.kind === 'broken').map(({ known }) => known);
  const whyWaiting = await findAbsentBridges(platform, broken, failures);
  const settled = new Map<Judged, Finding>();
  const settleOne = async (each: Judged): Promise<void> => {
    const error = each.verdict.kind === 'broken' ? whyWaiting(each.known) : undefined;
    const outcome: Outcome =
      error === undefined ? await settleOf(platform, own, each, dryRun) : { outcome: 'failed', error };
    // Where a call works on the attachment, its port is absent for a while lawfully.
    if (each.verdict.kind === 'broken' && outcome.outcome === 'changed') return;
    settled.set(each, findingOf(each, outcome));
  };
  const queue = [...proven];
  const work = async (): Promise<void> => {
    for (let each = queue.shift(); each; each = queue.shift()) await settleOne(each);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return proven.flatMap((each) => settled.get(each) ?? []);
}

type Outcome = Clearing | Repair | { readonly outcome: 'waiting' | 'found' | 'kept' };

async function settleOf(
  platform: Platform,
  own: OwnPlace,
  { known, verdict }: Judged,
  dryRun: boolean,
): Promise<Outcome> {
  if (verdict.kind === 'odd') return { outcome: 'kept' };
  if (verdict.kind === 'broken') return await repair(platform, own, known, dryRun);
  return dryRun ? { outcome: 'found' } : await clear(platform, own, known, verdict.reason);
}

function findingOf({ id, known, verdict: { reason } }: Judged, result: Outcome): Finding {
  const { containerId, ifname, pod, held, marked } = known;
  const cleared = result.outcome === 'cleared' ? result : undefined;
  return {
    id,
    containerId,
    ifname,
    pod,
    ips: held.map(({ address }) => formatAddress(address)),
    portIps: marked,
    reason,
    outcome: result.outcome,
    released: cleared?.released ?? [],
    swept: cleared?.swept ?? [],
    error: result.outcome === 'failed' ? result.error : undefined,
  };
}

/**
 * Returns whether the survey was complete and reconcile resolved every proven finding and deferred
 * teardown. Waiting and kept findings do not count.
 */
export function isSettled({ findings, pending, failures }: ReconcileReport): boolean {
  const open = ['found', 'busy', 'failed'];
  return (
    failures.length === 0 && pending.left === 0 && !findings.some(({ outcome }) => open.includes(outcome))
  );
}

/** Returns the report of a run that failed altogether. It keeps the earlier suspects. */
export function failedReport(error: unknown, suspected: Suspected): ReconcileReport {
  const pending = { done: 0, left: 0 };
  return { findings: [], pending, failures: [messageOf(error)], suspected, nextInMs: undefined };
}
