import type { Log, LogFields } from '../../cni/platform/platform.ts';
import { reconcile, type Finding, type ReconcileReport } from '../../cni/reconcile/reconcile.ts';
import { ownPlaceOf } from '../../cni/reconcile/settings.ts';
import { PORT_FAULTS } from '../../cni/reconcile/verdict.ts';
import { DEFAULT_RECONCILE_GRACE_MS } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { formatDuration, parseDuration } from '../context/durations.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';

export interface ReconcileOptions {
  readonly grace?: string;
  readonly dryRun?: boolean;
}

/**
 * `node reconcile`: clears what is left of removed attachments, and makes lost ports of living ones
 * again, as the agent does periodically, once. After the grace it looks again at what one
 * observation does not prove. Exit status 1 when a finding is not corrected, 2 when something
 * failed or could not be examined.
 * @throws CommandError, IpamError `invalid` for an invalid option or setting
 */
export async function nodeReconcile(context: Context, options: ReconcileOptions): Promise<number> {
  const { world, settings } = context;
  const dryRun = options.dryRun ?? false;
  const graceMs =
    options.grace === undefined
      ? (settings.reconcile?.graceMs ?? DEFAULT_RECONCILE_GRACE_MS)
      : parseDuration(options.grace, '--grace');
  const own = ownPlaceOf(settings, world.env, world.hostname, true);
  const platform = await world.openPlatform(logOf(context));
  const first = await reconcile(platform, own, { graceMs, dryRun, suspected: new Map(), at: 0 });
  const waiting = first.findings.filter(({ outcome }) => outcome === 'waiting').length;
  let report = first;
  if (waiting > 0) {
    context.warn(`${plural(waiting, 'suspect')}: looking again in ${formatDuration(graceMs)}`);
    await world.pause(graceMs);
    const { suspected } = first;
    report = merged(first, await reconcile(platform, own, { graceMs, dryRun, suspected, at: graceMs }));
  }
  const found = report.findings.filter(isTold);
  const node = own.ipam?.node ?? world.hostname;
  context.print({ node, dryRun, findings: found.map(json), ...summaryOf(report) }, () =>
    render(context, node, found, report, dryRun),
  );
  report.failures.forEach((failure) => context.warn(failure));
  return statusOf(report, dryRun);
}

/** The second look no longer finds what the first one cleared or repaired. */
function merged(first: ReconcileReport, second: ReconcileReport): ReconcileReport {
  const done = first.findings.filter(({ outcome }) => outcome === 'cleared' || outcome === 'repaired');
  const pending = { ...second.pending, done: first.pending.done + second.pending.done };
  return { ...second, findings: [...done, ...second.findings], pending };
}

/** A suspicion of the second look alone is not proven, and a live attachment is no finding. */
const isTold = ({ outcome }: Finding): boolean => outcome !== 'waiting' && outcome !== 'changed';

/** Findings that count as in use appear in the output, but need no correction. */
function statusOf({ findings, failures, pending }: ReconcileReport, dryRun: boolean): number {
  if (failures.length > 0 || findings.some(({ outcome }) => outcome === 'failed')) return 2;
  const open = findings.some(
    ({ outcome, reason }) => isOpen(outcome, dryRun) && !(outcome === 'kept' && reason === 'unproven'),
  );
  return open || pending.left > 0 ? 1 : 0;
}

const isOpen = (outcome: Finding['outcome'], dryRun: boolean): boolean =>
  outcome === 'kept' || outcome === 'busy' || (dryRun && outcome === 'found');

function json(finding: Finding): object {
  const { containerId, ifname, pod, ips, portIps, reason, outcome, released, swept, error } = finding;
  return {
    containerId,
    ifname,
    pod: pod ?? null,
    ips,
    portIps,
    reason,
    outcome,
    released,
    swept,
    ...(error !== undefined && { error }),
  };
}

function summaryOf({ pending, failures }: ReconcileReport): object {
  return { pending, failures };
}

const OUTCOMES: Readonly<Record<Finding['outcome'], string>> = {
  waiting: 'suspected',
  found: 'would be cleared',
  kept: 'kept',
  cleared: 'cleared',
  repaired: 'port made again',
  busy: 'busy: a call works on it',
  changed: 'lives',
  failed: 'failed',
};

function render(
  context: Context,
  node: string,
  found: readonly Finding[],
  { pending }: ReconcileReport,
  dryRun: boolean,
): string {
  const { paint } = context;
  const rows =
    found.length === 0
      ? ''
      : renderTable<Finding>(
          [
            { title: 'ADDRESS', value: addressText },
            { title: 'REASON', value: ({ reason }) => reason },
            { title: 'POD', value: ({ pod }) => printable(pod ?? '-') },
            { title: 'CONTAINER', value: ({ containerId }) => printable(containerId.slice(0, 12)) },
            { title: 'INTERFACE', value: ({ ifname }) => printable(ifname) },
            { title: 'OUTCOME', value: outcomeText },
          ],
          found,
          paint,
        );
  const told = [
    pending.done > 0 ? `${plural(pending.done, 'teardown')} that had been put off carried out` : '',
    pending.left > 0 ? `${plural(pending.left, 'teardown')} put off still to be finished` : '',
    found.length === 0 && pending.done + pending.left === 0 ? 'nothing is left over' : '',
    found.length > 0 ? countText(found, dryRun) : '',
  ].filter(Boolean);
  return `${rows}node ${printable(node)}: ${told.join('; ')}\n`;
}

/** Without an allocation, tells the address that the pod was given, and most likely uses. */
function addressText({ ips, portIps }: Finding): string {
  if (ips.length > 0) return ips.join(',');
  return portIps.length > 0 ? `${portIps.join(',')} (by its port)` : '-';
}

function outcomeText(finding: Finding): string {
  const { outcome, swept, error } = finding;
  if (error !== undefined) return `${OUTCOMES[outcome]}: ${printable(error)}`;
  if (outcome === 'found' && isOfPort(finding)) return 'port would be made again';
  return swept.length > 0 ? `${OUTCOMES[outcome]} (${swept.join(', ')} removed)` : OUTCOMES[outcome];
}

function countText(found: readonly Finding[], dryRun: boolean): string {
  const kept = found.filter(({ outcome }) => outcome === 'kept');
  const ports = found.filter((each) => isOfPort(each) && !kept.includes(each));
  const failed = ports.filter(({ outcome }) => outcome === 'failed');
  const released = found.reduce((sum, finding) => sum + (dryRun ? 0 : finding.released.length), 0);
  const countOf = (each: readonly Finding[], what: string): string[] =>
    each.length === 0 ? [] : [`${plural(each.length, 'port')} ${what}`];
  return [
    `${found.length - kept.length - ports.length} left over`,
    ...(dryRun ? [] : [`${plural(released, 'address', 'addresses')} released`]),
    ...countOf(
      ports.filter((each) => !failed.includes(each)),
      dryRun ? 'to be made again' : 'made again',
    ),
    ...countOf(failed, 'not made again'),
    ...(kept.length > 0 ? [`${kept.length} kept`] : []),
  ].join(', ');
}

const isOfPort = ({ reason }: Finding): boolean => PORT_FAULTS.some((fault) => fault === reason);

/** Prints the node's log lines as warnings beside the result. */
function logOf(context: Context): Log {
  const tell = (message: string, fields: LogFields = {}): void => {
    const words = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
    context.warn([message, ...words].join(' '));
  };
  return { info: () => undefined, warn: tell, error: tell };
}
