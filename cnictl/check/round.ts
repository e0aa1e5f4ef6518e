import type { KubeApi } from '../../cni/kube/api.ts';
import type { AuditedAllocation } from '../../ipam/audit/judge.ts';
import { isMissing } from '../../ipam/audit/key-pair.ts';
import { returnRuleless } from '../../ipam/release/ruleless.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings/settings.ts';
import { toldUid } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { formatDuration } from '../context/durations.ts';
import { operatorOf } from '../context/operator.ts';
import type { OpenIpam } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import { ProgressLine } from '../render/progress.ts';
import { awaitCleared, condemnedTexts, overdueTexts, type Sentenced } from './await-cleared.ts';
import { ClusterGuard } from './cluster-guard.ts';
import { endKept, markLook } from './end-kept.ts';
import { doubtedNodes, keptDue, othersFound, type Findings } from './findings.ts';
import { firstLook, type FirstLook } from './first-look.ts';
import { outcomeText, type FreeOutcome } from './free.ts';
import { keptFindings, stillDue } from './kept.ts';
import { nodeLives } from './node-lives.ts';
import { noPodsText, refuseWithoutPods, stillHasPods } from './pods.ts';
import type { Looking } from './progress.ts';
import type { Proof } from './proof.ts';
import { releaseLeaks, type ProvenLeak } from './release-leaks.ts';
import { releaseLog } from './release-log.ts';
import { repairIndex } from './repair.ts';
import { reportJson } from './report-json.ts';
import { provenLeakOf, type ReportSource } from './report.ts';
import type { Round, RoundOptions, RoundTold } from './round-options.ts';
import { countSuspected, nothingFound, secondLook, suspectsText } from './second-look.ts';
import { Wire } from './wire.ts';

/**
 * Looks twice, a grace apart, reports what both looks found, and repairs and releases what the
 * options ask for.
 * @throws CommandError, IpamError, KubeError; the signal's reason when it ended the looking
 */
export async function checkRound(context: Context, options: RoundOptions, told: RoundTold): Promise<Round> {
  const line = new ProgressLine(context.world, context.paint);
  const looking: Looking = {
    signal: options.signal,
    ...(options.warnOnce && { warnOnce: options.warnOnce }),
    otherSubnets: options.otherSubnets,
    progress: (what, done, total) => line.update(what, done, total),
    warn: (text) => {
      line.clear();
      context.warn(text);
    },
  };
  try {
    return await context.withIpam((ipam) =>
      context.withKubeLists((kube) => new RoundAt(context, ipam, kube, options, looking, line).run(told)),
    );
  } finally {
    line.clear();
  }
}

/** A round with its open connections. */
class RoundAt {
  readonly #context: Context;
  readonly #ipam: OpenIpam;
  readonly #kube: KubeApi;
  readonly #options: RoundOptions;
  readonly #looking: Looking;
  readonly #line: ProgressLine;

  constructor(
    context: Context,
    ipam: OpenIpam,
    kube: KubeApi,
    options: RoundOptions,
    looking: Looking,
    line: ProgressLine,
  ) {
    this.#context = context;
    this.#ipam = ipam;
    this.#kube = kube;
    this.#options = options;
    this.#looking = looking;
    this.#line = line;
  }

  async run(told: RoundTold): Promise<Round> {
    const { world } = this.#context;
    const { save } = this.#options;
    const guard = await ClusterGuard.open(this.#ipam, this.#kube, this.#options, this.#looking.warn);
    const first = await firstLook(this.#ipam, this.#kube, this.#looking);
    this.#line.clear();
    const proof = await guard.prove(first);
    const found = await this.#lookAgain(first);
    const report = reportJson(found, this.#sourceOf(guard, proof), world.now());
    this.#line.clear();
    if (save !== undefined) world.writeFile(save, `${JSON.stringify(report, null, 2)}\n`);
    told.found(found, report);
    const repaired = this.#options.repair ? await this.#repair(found, told) : 0;
    const { isMeaningless } = proof;
    const others = othersFound(found) - repaired;
    if (!this.#options.release)
      return { found, left: found.leaked.length + keptDue(found).length + others, isMeaningless };
    const leaks = await this.#release(first, found, told);
    const kept = await this.#endKept(first, found, told);
    await this.#returnRuleless();
    return { found, left: leaks + kept + others, isMeaningless };
  }

  #sourceOf({ identity }: ClusterGuard, { doubt }: Proof): ReportSource {
    return {
      etcdPrefix: this.#context.settings.etcd?.prefix ?? DEFAULT_PREFIX,
      server: this.#kube.server,
      cluster: toldUid(identity),
      clusterProblem: doubt?.message ?? null,
    };
  }

  async #lookAgain(first: FirstLook): Promise<Findings> {
    const { graceMs, signal, kept: terms } = this.#options;
    this.#doubt(first, first.podAudit.pods > 0);
    const kept = keptFindings(first.kept, terms, this.#ipam.effects.now());
    const { problem: keptProblem } = first.kept;
    const due = keptDue({ kept });
    const { leaks, others } = countSuspected(first);
    if (leaks + others + due.length === 0) return { ...nothingFound(first), kept, keptProblem };
    this.#looking.warn(
      `${suspectsText(first, leaks, due.length)}: looking again in ${formatDuration(graceMs)}`,
    );
    await this.#context.world.pause(graceMs, signal);
    signal?.throwIfAborted();
    if (first.podAudit.pods > 0) this.#doubt(first, await stillHasPods(this.#kube, first.moment));
    const observed = await secondLook(this.#ipam, this.#kube, first, this.#looking);
    const still = await stillDue(this.#ipam, this.#kube, due, terms, this.#looking);
    return { ...observed, kept: [...kept.filter(({ isDue }) => !isDue), ...still], keptProblem };
  }

  /**
   * Treats a server without any pod as missing data, which proves nothing (rule 6): warns, and
   * releases nothing because of it unless `evenIfNoPods` is set.
   * @throws CommandError when allocations that name pods were to be released
   */
  #doubt({ podAudit }: FirstLook, hasPods: boolean): void {
    if (hasPods || podAudit.allocated === 0) return;
    const { release, evenIfNoPods } = this.#options;
    const doubt = { allocated: podAudit.allocated, evenIfNoPods };
    if (release && podAudit.allocated > podAudit.unknown.length) refuseWithoutPods(this.#kube, doubt);
    this.#looking.warn(noPodsText(this.#kube, podAudit.allocated));
  }

  async #repair({ index }: Findings, told: RoundTold): Promise<number> {
    if (index.length === 0) return 0;
    await this.#context.confirm(`This repairs ${plural(index.length, 'key')}`, this.#options.yes);
    let repaired = 0;
    await repairIndex(this.#ipam, index, this.#looking, ({ indexKey, reason }) => {
      repaired += 1;
      told.repaired?.();
      this.#line.clear();
      this.#context.note(`${indexKey} ${isMissing(reason) ? 'written' : 'deleted'} (${reason})`);
    });
    return repaired;
  }

  /** Own blocks of rules that are gone go back to their ranges once they are idle. */
  async #returnRuleless(): Promise<void> {
    const { returned } = await returnRuleless(this.#ipam);
    if (returned.length === 0) return;
    this.#line.clear();
    this.#context.note(`returned ${returned.join(', ')}: their rules are gone`);
  }

  /** @returns the number of leaks that remain */
  async #release(first: FirstLook, found: Findings, told: RoundTold): Promise<number> {
    const doubted = doubtedNodes(found);
    const leaked = found.leaked.filter(({ allocation }) => !doubted.has(allocation.node));
    const withheld = found.leaked.length - leaked.length;
    if (withheld > 0)
      this.#looking.warn(
        `${plural(withheld, 'leaked address stays', 'leaked addresses stay')} on ${[...doubted].sort().join(', ')}: each has another name in the cluster`,
      );
    if (leaked.length === 0) return withheld;
    const { yes, log, evenIfNoPods } = this.#options;
    const text = plural(leaked.length, 'leaked address', 'leaked addresses');
    await this.#context.confirm(`This releases ${text}`, yes);
    const write = releaseLog(this.#context, log);
    if (!(await stillHasPods(this.#kube, first.moment)))
      refuseWithoutPods(this.#kube, { allocated: first.podAudit.allocated, evenIfNoPods });
    const means = {
      lives: await nodeLives(this.#kube, this.#looking),
      wire: new Wire(this.#context, this.#looking.warn),
      by: operatorOf(this.#context.world),
      dryRun: false,
    };
    let left = found.leaked.length;
    const tell = (
      leak: ProvenLeak,
      outcome: FreeOutcome,
      allocation: AuditedAllocation | undefined,
    ): void => {
      if (!STAYS.has(outcome.kind)) left -= 1;
      told.outcome?.(outcome, leak.reason);
      this.#line.clear();
      if (outcome.kind !== 'condemned') this.#context.note(outcomeText(leak.address, outcome));
      write({ address: leak.address, outcome, reason: leak.reason, allocation });
    };
    const sentenced: (ProvenLeak & Sentenced & { readonly allocation: AuditedAllocation | undefined })[] = [];
    await releaseLeaks(this.#ipam, this.#kube, leaked.map(provenLeakOf), {
      ...means,
      looking: this.#looking,
      onOutcome: (leak, outcome, allocation) => {
        tell(leak, outcome, allocation);
        if (outcome.kind === 'condemned') sentenced.push({ ...leak, outcome, allocation });
      },
    });
    for (const text of condemnedTexts(sentenced)) this.#context.note(text);
    const { waitMs, signal } = this.#options;
    const overdue = await awaitCleared(
      this.#ipam,
      sentenced,
      this.#context.world,
      waitMs,
      (leak, outcome) => tell(leak, outcome, leak.allocation),
      signal,
    );
    if (waitMs > 0) for (const text of overdueTexts(overdue)) this.#looking.warn(text);
    return left;
  }

  /**
   * Counts since when pods are beyond their StatefulSets, and ends what was kept long enough.
   * @returns the number of addresses of these that remain
   */
  async #endKept(first: FirstLook, found: Findings, told: RoundTold): Promise<number> {
    const { yes, log, kept: terms } = this.#options;
    await markLook(this.#ipam, first.kept, terms);
    const due = keptDue(found);
    if (due.length === 0) return 0;
    const text = plural(due.length, 'kept address', 'kept addresses');
    await this.#context.confirm(`This releases ${text} of pods that no StatefulSet makes any more`, yes);
    const write = releaseLog(this.#context, log);
    if (!(await stillHasPods(this.#kube, first.moment))) {
      this.#looking.warn(noPodsText(this.#kube, first.podAudit.allocated));
      return due.length;
    }
    await endKept(this.#ipam, this.#kube, due, terms, this.#looking, ({ kept, reason }, outcome) => {
      told.outcome?.(outcome, reason);
      this.#line.clear();
      this.#context.note(outcomeText(kept.address, outcome));
      write({ address: kept.address, outcome, reason, kept });
    });
    return 0;
  }
}

/** Outcomes of a leak that is still there. */
const STAYS: ReadonlySet<FreeOutcome['kind']> = new Set([
  'condemned',
  'answers',
  'unasked',
  'unknown',
  'unreadable',
]);
