import { describeMachine } from '../../ipam/model/machine.ts';
import type { NameView } from '../../ipam/node/name-records.ts';
import type { AgentReport } from '../../ipam/records/agent-report.ts';
import { formatAge } from '../context/durations.ts';
import { painted, type Cell } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { SILENT_AFTER_MS } from '../node/adoption.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';

/** Returns what JSON tells of the machine that has a node's name, and of its agent. */
export function nameJson(view: NameView | undefined): object {
  const { machine, bootId, at, adoptedBy } = view?.owner?.record ?? {};
  const alive = view?.alive?.record;
  return {
    machine: machine
      ? {
          id: machine.id,
          productUuid: machine.productUuid ?? null,
          macs: machine.macs,
          machineId: machine.machineId ?? null,
        }
      : null,
    bootId: bootId ?? null,
    lastWriteAt: timeOf(at),
    adoptedBy: adoptedBy ?? null,
    alive: alive ? { machine: alive.machine, bootId: alive.bootId, since: timeOf(alive.since) } : null,
    agent: alive?.agent ? agentJson(alive.agent) : null,
  };
}

/** What the agent told of itself. */
function agentJson({ plugin, pending, at, ...report }: AgentReport): object {
  return { ...report, plugin: plugin ?? null, pending: pending ?? null, reportedAt: timeOf(at) };
}

const timeOf = (at: number | undefined): string | null =>
  at === undefined ? null : new Date(at).toISOString();

/** Returns lines about the machine that has a node's name: machine, boot, agent. */
export function nameText(view: NameView, now: number): string[] {
  return nameFields(view, now).map(([title, value]) => `${title.toLowerCase()} ${value}`);
}

/** Returns the same as titles and values. */
export function nameFields({ owner, alive, problems }: NameView, now: number): [string, string][] {
  const { machine, bootId, adoptedBy } = owner?.record ?? {};
  const text = machine ? describeMachine(machine).replace(/^machine /, '') : owner ? 'unknown' : 'none yet';
  return [
    ['Machine', printable(text)],
    ...(bootId === undefined ? [] : [['Boot', printable(bootId)] as [string, string]]),
    ...(adoptedBy === undefined
      ? []
      : [['Given to', `${printable(adoptedBy)}, which has not written yet`] as [string, string]]),
    ['Agent', agentText(owner?.record, alive?.record, now)],
    ...(alive?.record.agent ? reportFields(alive.record.agent, now) : []),
    ...problems.map((problem): [string, string] => ['Amiss', printable(problem)]),
  ];
}

function reportFields(report: AgentReport, now: number): [string, string][] {
  const { version, plugin, healthy, reasons, calls, pending, at } = report;
  const health = healthy ? 'well' : `not well: ${reasons.join('; ') || 'no reason told'}`;
  return [
    ['Version', printable(`${version}, plugin ${plugin ?? 'not known before the first call'}`)],
    ['Health', printable(`${health} (told ${formatAge(now - at)} ago)`)],
    ['Calls', `${calls.served} served, ${calls.failed} failed`],
    ['Pending', pending === undefined ? 'not known' : plural(pending, 'teardown')],
  ];
}

function agentText(
  record: { readonly machine?: { readonly id: string }; readonly at?: number } | undefined,
  alive: { readonly machine: string; readonly since: number } | undefined,
  now: number,
): string {
  if (!alive) {
    const last =
      record?.at === undefined ? '' : `; the node's last change was ${formatAge(now - record.at)} ago`;
    return `none is known to be alive${last}`;
  }
  const since = `alive since ${new Date(alive.since).toISOString()} (${formatAge(now - alive.since)})`;
  return alive.machine === record?.machine?.id ? since : `${since}, on machine ${printable(alive.machine)}`;
}

/** Returns the cell of a table: since when an agent is alive, or since when nothing was written. */
export function aliveText(view: NameView | undefined, now: number): string {
  if (view?.alive) return formatAge(now - view.alive.record.since);
  const at = view?.owner?.record.at;
  return at === undefined ? '-' : `silent ${formatAge(now - at)}`;
}

/** Returns the cell of a table: version and health of the agent, as it told them last. */
export function agentCell(view: NameView | undefined, now: number, paint: Paint): Cell {
  if (!view?.alive) {
    if (!view?.owner) return '-';
    // The plugin gives addresses without it.
    const isAtWork = now - (view.owner.record.at ?? 0) < SILENT_AFTER_MS;
    return painted(paint.yellow(isAtWork ? 'none' : 'silent'));
  }
  const report = view.alive.record.agent;
  if (!report) return 'alive';
  const health = report.healthy ? paint.green('ok') : paint.red('ill');
  return painted(`${printable(report.version)} ${health}`);
}

/** Returns when there was a sign of the node: an agent that lives gives one each 20 seconds. */
export function seenText(view: NameView | undefined, now: number): string {
  if (view?.alive) return '<1m';
  const at = view?.owner?.record.at;
  return at === undefined ? 'never' : formatAge(now - at);
}
