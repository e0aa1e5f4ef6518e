import { formatAddress } from '../../ipam/address.ts';
import { confirm, type Audit, type Suspect } from '../../ipam/audit.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings.ts';
import type { Context } from '../context.ts';
import { formatAge, formatDuration, parseDuration } from '../durations.ts';
import { CommandError } from '../errors.ts';
import { expectedOf, freeAddress, outcomeText } from '../free.ts';
import { KubeError } from '../kube/errors.ts';
import type { KubeApi } from '../kube/api.ts';
import { observe } from '../observe.ts';
import { operatorOf } from '../operator.ts';
import { plural } from '../render/plural.ts';
import { renderTable } from '../render/table.ts';
import { reportJson, type ReportSource } from '../report.ts';
import type { OpenIpam } from '../world.ts';
import { podText } from './ip.ts';

export interface CheckOptions {
  readonly grace: string;
  readonly release?: boolean;
  readonly save?: string;
  readonly yes?: boolean;
  /** Releases although the API server has no pod at all. */
  readonly evenIfNoPods?: boolean;
}

/**
 * `check`: allocations against pods, both ways. What the first observation suspects is looked at again after the grace,
 * and only what both found is told. Exit status 1 where something was found and not put right.
 * @throws CommandError for an option that is refused, and where a release is asked for and there is no pod at all
 */
export async function check(context: Context, options: CheckOptions): Promise<number> {
  const graceMs = parseDuration(options.grace, '--grace');
  if (options.release && !options.yes && !context.world.isTerminal) {
    throw new CommandError('check --release: nobody can be asked, for this is no terminal', 'Add --yes.');
  }
  if (options.save !== undefined) context.world.checkTarget(options.save);
  return await context.withIpam((ipam) =>
    context.withKube(async (kube) => {
      const audit = await observeTwice(context, ipam, kube, graceMs, options);
      const report = reportJson(audit, await sourceOf(context, kube), context.world.now());
      if (options.save !== undefined)
        context.world.writeFile(options.save, `${JSON.stringify(report, null, 2)}\n`);
      context.print(report, () => renderAudit(context, audit) + hint(context, audit, options));
      const left = options.release
        ? await releaseLeaks(context, ipam, kube, audit, options.yes ?? false)
        : audit.leaked.length;
      return left > 0 || audit.missing.length > 0 ? 1 : 0;
    }),
  );
}

async function observeTwice(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi,
  graceMs: number,
  options: CheckOptions,
): Promise<Audit> {
  const look = (): Promise<Audit> => observe(ipam, kube, (pods) => progress(context, pods));
  const first = await look();
  doubtNoPods(context, kube, first, options);
  if (first.leaked.length === 0 && first.missing.length === 0) return first;
  const suspects = `${plural(first.leaked.length, 'suspected leak')}, ${first.missing.length} missing`;
  context.warn(`${suspects}: looking again in ${formatDuration(graceMs)}`);
  await context.world.pause(graceMs);
  const second = await look();
  if (first.pods > 0) doubtNoPods(context, kube, second, options);
  return confirm(first, second);
}

/**
 * No pod at all is missing data rather than a proof (rule 6): told, and nothing is released for it unless that is asked for.
 * @throws CommandError where allocations that name pods were to be released
 */
function doubtNoPods(context: Context, kube: KubeApi, audit: Audit, options: CheckOptions): void {
  if (audit.pods > 0 || audit.allocated === 0) return;
  const doubt = `${kube.server} has no pod at all, while etcd has ${plural(audit.allocated, 'allocation')}: is it the right cluster?`;
  const namesPods = audit.allocated > audit.unknown.length;
  if (options.release && !options.evenIfNoPods && namesPods) {
    throw new CommandError(
      `${doubt} Nothing was released`,
      'Check --kubeconfig and --etcd-prefix; where the cluster really has no pod, add --even-if-no-pods.',
    );
  }
  context.warn(doubt);
}

function progress({ world }: Context, pods: number): void {
  if (world.isTerminal) world.stderr(`\r${pods} pods read\r`);
}

/** Which cluster it is; an operator who may not read the namespace still gets a report, by the server's address. */
async function sourceOf(context: Context, kube: KubeApi): Promise<ReportSource> {
  const etcdPrefix = context.settings.etcd?.prefix ?? DEFAULT_PREFIX;
  return { etcdPrefix, server: kube.server, cluster: await clusterOf(kube) };
}

export async function clusterOf(kube: KubeApi): Promise<string | null> {
  try {
    return await kube.clusterUid();
  } catch (error) {
    if (error instanceof KubeError && (error.code === 'forbidden' || error.code === 'refused')) return null;
    throw error;
  }
}

function renderAudit(context: Context, audit: Audit): string {
  const { paint, world } = context;
  const now = world.now();
  const parts: string[] = [];
  if (audit.leaked.length > 0) {
    parts.push(
      `${paint.red('Leaked')}: given out, and no pod has them any more\n`,
      renderTable<Suspect>(
        [
          { title: 'ADDRESS', value: ({ allocation }) => formatAddress(allocation.address) },
          { title: 'REASON', value: ({ reason }) => reason },
          { title: 'POD', value: ({ allocation }) => podText(allocation.slot.owner) },
          { title: 'NODE', value: ({ allocation }) => allocation.node },
          { title: 'CONTAINER', value: ({ allocation }) => allocation.slot.owner.containerId.slice(0, 12) },
          {
            title: 'AGE',
            value: ({ allocation }) => formatAge(now - allocation.slot.allocatedAt),
            right: true,
          },
        ],
        audit.leaked,
        paint,
      ),
      '\n',
    );
  }
  if (audit.missing.length > 0) {
    parts.push(
      `${paint.red('Missing')}: a running pod has an address that etcd does not hold for it\n`,
      renderTable(
        [
          { title: 'ADDRESS', value: ({ ip }) => ip },
          { title: 'POD', value: ({ pod }) => `${pod.namespace}/${pod.name}` },
          { title: 'NODE', value: ({ pod }) => pod.nodeName ?? '-' },
          { title: 'HELD BY', value: ({ heldBy }) => (heldBy ? podText(heldBy.slot.owner) : 'nobody') },
        ],
        audit.missing,
        paint,
      ),
      '\n',
    );
  }
  const unknown =
    audit.unknown.length > 0 ? `, ${audit.unknown.length} without a pod's name (count as in use)` : '';
  const verdict =
    audit.leaked.length + audit.missing.length === 0
      ? paint.green('nothing leaked, nothing missing')
      : `${audit.leaked.length} leaked, ${audit.missing.length} missing`;
  parts.push(
    `${plural(audit.allocated, 'address', 'addresses')} given out, ${plural(audit.pods, 'pod')}: ${verdict}${unknown}\n`,
  );
  return parts.join('');
}

function hint({ paint }: Context, audit: Audit, options: CheckOptions): string {
  if (audit.leaked.length === 0 || options.release) return '';
  return paint.dim('Free them: cnictl check --release, or cnictl release ADDRESS…\n');
}

/** @returns how many leaks are still there */
async function releaseLeaks(
  context: Context,
  ipam: OpenIpam,
  kube: KubeApi,
  audit: Audit,
  yes: boolean,
): Promise<number> {
  if (audit.leaked.length === 0) return 0;
  await context.confirm(
    `This releases ${plural(audit.leaked.length, 'leaked address', 'leaked addresses')}`,
    yes,
  );
  let left = 0;
  for (const { allocation } of audit.leaked) {
    const expected = expectedOf(allocation.slot);
    const outcome = await freeAddress(ipam, kube, allocation.address, {
      dryRun: false,
      force: false,
      expected,
      by: operatorOf(context.world),
    });
    context.world.stderr(`${outcomeText(allocation.address, outcome)}\n`);
    if (outcome.kind === 'unknown') left++;
  }
  return left;
}
