import { formatAddress, parseAddress, type Address } from '../../ipam/address.ts';
import type { Expected } from '../../ipam/block.ts';
import { showAddress, type AddressView } from '../../ipam/inventory.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings.ts';
import type { Context } from '../context.ts';
import { formatAge } from '../durations.ts';
import { CommandError } from '../errors.ts';
import { expectedOf, freeAddress, outcomeText, type FreeOutcome } from '../free.ts';
import type { KubeApi } from '../kube/api.ts';
import { operatorOf } from '../operator.ts';
import { plural } from '../render/plural.ts';
import { parseReport, type SavedReport } from '../report.ts';
import type { OpenIpam } from '../world.ts';
import { clusterOf } from './check.ts';
import { ownerOf, podText } from './ip.ts';

export interface ReleaseOptions {
  readonly fromReport?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
}

interface Target {
  readonly address: Address;
  readonly expected: Expected | undefined;
}

/**
 * `release`: frees addresses by hand, or those of a saved report. An address whose pod lives stays, unless forced. Exit status
 * 2 where one that was asked for is kept.
 * @throws CommandError where no API server is known, unless forced: then nothing is released, nor said to be
 */
export async function release(
  context: Context,
  addresses: readonly string[],
  options: ReleaseOptions,
): Promise<number> {
  const report = options.fromReport === undefined ? undefined : readReport(context, options.fromReport);
  const targets = targetsOf(addresses, report);
  if (targets.length === 0) {
    context.print([], () => 'The report has no leaked address: nothing to release.\n');
    return 0;
  }
  if (!context.knowsKube && !options.force) {
    throw new CommandError(
      'no API server is known, so nothing tells whether the pods of these addresses live: nothing was released',
      'Name a kubeconfig with --kubeconfig, or add --force when you know that the pods are gone.',
    );
  }
  return await context.withIpam(async (ipam) => {
    const views = await lookAtAll(ipam, targets);
    if (!context.knowsKube) return await releaseAll(context, ipam, undefined, targets, views, options);
    return await context.withKube(async (kube) => {
      if (report) await checkCluster(report, kube);
      return await releaseAll(context, ipam, kube, targets, views, options);
    });
  });
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

/** @throws CommandError where the report is of another cluster */
async function checkCluster(report: SavedReport, kube: KubeApi): Promise<void> {
  const cluster = await clusterOf(kube);
  const differs =
    report.cluster !== null && cluster !== null ? report.cluster !== cluster : report.server !== kube.server;
  if (differs) {
    throw new CommandError(
      `the report is of the cluster at ${report.server}: expected that at ${kube.server}`,
    );
  }
}

function targetsOf(addresses: readonly string[], report: SavedReport | undefined): Target[] {
  if (report && addresses.length > 0)
    throw new CommandError('release takes addresses or --from-report: expected one of them');
  if (!report && addresses.length === 0) {
    throw new CommandError('release needs an address or --from-report FILE', 'Look for leaks: cnictl check');
  }
  if (!report) return addresses.map((text) => ({ address: parseAddress(text), expected: undefined }));
  return report.leaked.map(({ ip, containerId, ifname, sequence }) => ({
    address: parseAddress(ip, 'address of the report'),
    expected: { containerId, ifname, sequence },
  }));
}

/** Every address is known before any is released. @throws IpamError `not-found`, CommandError for a reserved one */
async function lookAtAll(ipam: OpenIpam, targets: readonly Target[]): Promise<AddressView[]> {
  const views: AddressView[] = [];
  for (const { address } of targets) {
    const view = await showAddress(ipam, address);
    if (view.state === 'reserved') {
      throw new CommandError(
        `${formatAddress(address)} is reserved${view.reservedAs === undefined ? '' : ` (${view.reservedAs})`}: it is never given out`,
      );
    }
    views.push(view);
  }
  return views;
}

async function releaseAll(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi | undefined,
  targets: readonly Target[],
  views: readonly AddressView[],
  options: ReleaseOptions,
): Promise<number> {
  const dryRun = options.dryRun ?? false;
  const force = options.force ?? false;
  if (!dryRun && views.some((view) => view.state === 'used')) {
    if (!options.yes)
      for (const view of views) context.world.stderr(`  ${describe(view, context.world.now())}\n`);
    await context.confirm(
      `This releases ${plural(targets.length, 'address', 'addresses')}`,
      options.yes ?? false,
    );
  }
  const results: { readonly address: Address; readonly outcome: FreeOutcome }[] = [];
  for (const [i, { address, expected }] of targets.entries()) {
    // Without a report, what was shown before the question is what is released.
    const slot = views[i]?.slot;
    const shown = expected ?? (slot?.state === 'used' ? expectedOf(slot) : undefined);
    const outcome = await freeAddress(ipam, kube, address, {
      dryRun,
      force,
      by: operatorOf(context.world),
      ...(shown && { expected: shown }),
    });
    results.push({ address, outcome });
  }
  context.print(
    results.map(({ address, outcome }) => ({
      ip: formatAddress(address),
      outcome: outcome.kind,
      ...detailsOf(outcome),
    })),
    () => results.map(({ address, outcome }) => `${outcomeText(address, outcome)}\n`).join(''),
  );
  return results.some(({ outcome }) => outcome.kind === 'in-use' || outcome.kind === 'unknown') ? 2 : 0;
}

function detailsOf(outcome: FreeOutcome): object {
  if (outcome.kind === 'in-use') return { pod: outcome.pod };
  if (outcome.kind === 'released' || outcome.kind === 'would-release')
    return { reason: outcome.reason ?? null };
  return {};
}

function describe(view: AddressView, now: number): string {
  const { slot } = view;
  const ip = formatAddress(view.address);
  if (slot?.state !== 'used') return `${ip} is ${view.state}`;
  const pod = podText(ownerOf(view));
  return `${ip} is given to ${pod} (container ${slot.owner.containerId.slice(0, 12)}) on ${view.node ?? '?'} since ${formatAge(now - slot.allocatedAt)}`;
}
