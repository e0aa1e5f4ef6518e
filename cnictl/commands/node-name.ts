import { describeMachine } from '../../ipam/model/machine.ts';
import type { NameView } from '../../ipam/node/name-records.ts';
import { formatAge } from '../context/durations.ts';
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
  };
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
    ...problems.map((problem): [string, string] => ['Amiss', printable(problem)]),
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
