import type { KubeApi } from '../../cni/kube/api.ts';
import { formatAddress, parseAddress } from '../../ipam/model/address.ts';
import { readAddress, type AddressView } from '../../ipam/query/views.ts';
import { rangeKey } from '../../ipam/records/keys.ts';
import { valuesOf } from '../../ipam/records/unreadable.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings/settings.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import { freeAll, type SeenTarget, type Target } from '../check/free-all.ts';
import { outcomeText, type FreeOutcome } from '../check/free.ts';
import { refuseWithoutPods, stillHasPods } from '../check/pods.ts';
import { intersect, parseReport, type SavedReport } from '../check/report.ts';
import { requireCluster, requireOwnReport } from '../check/require-cluster.ts';
import type { Context } from '../context/context.ts';
import { formatAge, parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { OpenIpam } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import { podText } from '../render/pod.ts';
import { printable } from '../render/printable.ts';
import { ownerOf } from './ip.ts';

export interface ReleaseOptions {
  /** Several reports are intersected. */
  readonly fromReport?: readonly string[];
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly log?: string;
  readonly wait: string;
  /** Releases even when the API server has no pod at all. */
  readonly evenIfNoPods?: boolean;
}

/**
 * `release`: frees named addresses, or those that all of the saved reports name. An address whose
 * pod lives stays, unless forced. One on a node that lives is condemned, and the node's agent
 * clears it away. Exit status 2 when an address stays: its pod lives or is unknown, its node has
 * not cleared it away in time, a host answers for it on the wire, or a record cannot be read.
 * @throws CommandError when no API server is configured, it may be another cluster's, or it has no
 *   pod at all, unless forced; nothing is then released or printed
 */
export async function release(
  context: Context,
  addresses: readonly string[],
  options: ReleaseOptions,
): Promise<number> {
  const reports = options.fromReport?.map((file) => readReport(context, file)) ?? [];
  const targets = targetsOf(addresses, reports);
  if (options.log !== undefined) context.world.checkTarget(options.log);
  if (targets.length === 0) {
    const text =
      reports.length > 1
        ? 'No leaked address is in all of the reports: nothing to release.\n'
        : 'The report has no leaked address: nothing to release.\n';
    context.print([], () => text);
    return 0;
  }
  return await context.withIpam(async (ipam) => {
    const seen = await lookAtAll(ipam, targets);
    // No pod has a kept address.
    const isKept = ({ seen: read }: SeenTarget): boolean => 'value' in read && read.value.state === 'kept';
    if (!context.knowsKube && !options.force && !seen.every(isKept)) {
      throw new CommandError(
        'no API server is known, so nothing tells whether the pods of these addresses live: nothing was released',
        'Name a kubeconfig with --kubeconfig, or add --force when you know that the pods are gone.',
      );
    }
    const releaseWith = async (kube: KubeApi | undefined): Promise<number> => {
      for (const report of reports) await requireOwnReport(report, ipam, kube);
      if (kube && !options.force) {
        await requireCluster(ipam, kube);
        await doubtNoPods(kube, viewsOf(seen), options);
      }
      return await releaseAll(context, ipam, kube, seen, options);
    };
    return context.knowsKube ? await context.withKubeLists(releaseWith) : await releaseWith(undefined);
  });
}

/**
 * Refuses when the API server has no pod at all, because that is missing data and proves nothing
 * (rule 6), as in `check`.
 * @throws CommandError when an allocation that names a pod was to be released
 */
async function doubtNoPods(
  kube: KubeApi,
  views: readonly AddressView[],
  { evenIfNoPods }: ReleaseOptions,
): Promise<void> {
  const allocated = views.filter((view) => ownerOf(view)?.podName !== undefined).length;
  if (allocated > 0 && !(await stillHasPods(kube, undefined)))
    refuseWithoutPods(kube, { allocated, evenIfNoPods });
}

function readReport(context: Context, file: string): SavedReport {
  const content = context.world.readFile(file);
  if (content === undefined) throw new CommandError(`report '${file}' does not exist`);
  const report = parseReport(content, file);
  const prefix = context.settings.etcd?.prefix ?? DEFAULT_PREFIX;
  if (report.etcdPrefix !== prefix) {
    throw new CommandError(`${file} is about etcd prefix '${report.etcdPrefix}': expected '${prefix}'`);
  }
  return report;
}

function targetsOf(addresses: readonly string[], reports: readonly SavedReport[]): Target[] {
  if (reports.length > 0 && addresses.length > 0)
    throw new CommandError('release takes addresses or --from-report: expected one of them');
  if (reports.length === 0 && addresses.length === 0) {
    throw new CommandError('release needs an address or --from-report FILE', 'Look for leaks: cnictl check');
  }
  if (reports.length === 0)
    return addresses.map((text) => ({ address: parseAddress(text), expected: undefined }));
  return intersect(reports).map((leak) => ({
    address: parseAddress(leak.ip, 'address of the report'),
    expected: {
      containerId: leak.containerId,
      ifname: leak.ifname,
      sequence: leak.sequence,
      allocatedAt: Date.parse(leak.allocatedAt),
    },
    leak,
  }));
}

/**
 * Looks up every address before any is released.
 * @throws IpamError `not-found`; CommandError for a reserved address
 */
async function lookAtAll(ipam: OpenIpam, targets: readonly Target[]): Promise<SeenTarget[]> {
  const seen: SeenTarget[] = [];
  const { unreadable } = await readRanges(ipam.store);
  for (const target of targets) {
    const { address, leak } = target;
    const broken = leak && unreadable.find(({ key }) => key === rangeKey(leak.range));
    const read = broken ? { unreadable: broken } : await readAddress(ipam, address);
    if ('value' in read && read.value.state === 'reserved') {
      const view = read.value;
      throw new CommandError(
        `${formatAddress(address)} is reserved${view.reservedAs === undefined ? '' : ` (${view.reservedAs})`}: it is never given out`,
      );
    }
    seen.push({ ...target, seen: read });
  }
  return seen;
}

const viewsOf = (targets: readonly SeenTarget[]): AddressView[] => valuesOf(targets.map(({ seen }) => seen));

async function releaseAll(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi | undefined,
  targets: readonly SeenTarget[],
  options: ReleaseOptions,
): Promise<number> {
  const dryRun = options.dryRun ?? false;
  const views = viewsOf(targets);
  if (!dryRun && views.some(({ state }) => state === 'used' || state === 'kept')) {
    if (!options.yes) for (const view of views) context.note(`  ${describe(view, context.world.now())}`);
    await context.confirm(
      `This releases ${plural(views.length, 'address', 'addresses')}`,
      options.yes ?? false,
    );
  }
  const results = await freeAll(context, ipam, kube, targets, {
    ...options,
    waitMs: parseDuration(options.wait, '--wait'),
  });
  context.print(
    results.map(({ address, outcome }) => ({
      ip: formatAddress(address),
      outcome: outcome.kind,
      ...detailsOf(outcome),
    })),
    () => results.map(({ address, outcome }) => `${printable(outcomeText(address, outcome))}\n`).join(''),
  );
  return results.some(({ outcome }) => KEPT.has(outcome.kind)) ? 2 : 0;
}

/** Outcomes of an address that the operator named and that stays. */
const KEPT: ReadonlySet<FreeOutcome['kind']> = new Set([
  'in-use',
  'unknown',
  'unreadable',
  'withheld',
  'condemned',
  'answers',
  'unasked',
]);

function detailsOf(outcome: FreeOutcome): object {
  if (outcome.kind === 'in-use') return { pod: outcome.pod };
  if (outcome.kind === 'unreadable') return { reason: outcome.reason };
  if (outcome.kind === 'withheld' || outcome.kind === 'cleared' || outcome.kind === 'unasked')
    return { node: outcome.node };
  if (outcome.kind === 'answers') return { mac: outcome.mac };
  if (outcome.kind === 'condemned' || outcome.kind === 'would-condemn')
    return { node: outcome.node, life: outcome.life, reason: outcome.reason };
  if (outcome.kind === 'released' || outcome.kind === 'would-release')
    return { reason: outcome.reason ?? null };
  return {};
}

function describe(view: AddressView, now: number): string {
  const { slot } = view;
  const ip = formatAddress(view.address);
  if (slot?.state === 'kept') return `${ip} is kept for pod ${slot.pod.namespace}/${slot.pod.name}`;
  if (slot?.state !== 'used') return `${ip} is ${view.state}`;
  const pod = podText(ownerOf(view));
  return `${ip} is given to ${pod} (container ${slot.owner.containerId.slice(0, 12)}) on ${view.node ?? '?'} for ${formatAge(now - slot.allocatedAt)}`;
}
