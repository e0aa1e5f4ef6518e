import { formatAddress, formatCidr, parseAddress } from '../../ipam/model/address.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import type { Lifetime, ReleaseCause } from '../../ipam/model/lifetime.ts';
import { readHistory, type AddressHistory } from '../../ipam/query/history.ts';
import type { AddressView } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { formatAge, parseDuration } from '../context/durations.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { podJson, podText } from '../render/pod.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';
import { addressJson, stateText } from './ip.ts';

export interface IpHistoryOptions {
  readonly since?: string;
}

/**
 * `ip history`: shows the address's current and past owners, newest first. Exit status 2 when the
 * record of its block cannot be read, so that the current owner is unknown.
 */
export async function ipHistory(context: Context, text: string, options: IpHistoryOptions): Promise<number> {
  const address = parseAddress(text);
  const sinceMs = options.since === undefined ? Infinity : parseDuration(options.since, '--since', Infinity);
  const history = await context.withIpam((ipam) => readHistory(ipam, address));
  const now = context.world.now();
  const told = history.past.filter(({ releasedAt }) => now - releasedAt <= sinceMs);
  const { completeSince } = history;
  context.print(
    {
      ...addressJson(history.view),
      past: told.map(lifetimeJson),
      completeSince: completeSince === undefined ? null : new Date(completeSince).toISOString(),
      unreadable: history.unreadable,
    },
    () => {
      const rows = [...currentRow(history), ...told.map(lifetimeRow)];
      const table = rows.length === 0 ? '' : lifetimeTable(rows, now, context.paint);
      const isCut = completeSince !== undefined && now - completeSince <= sinceMs;
      const remarks = [
        ...(history.view.state === 'used' ? [] : [idleText(history)]),
        ...(told.length > 0 ? [] : [noneText(history, options.since)]),
        ...(isCut ? [boundText(history, completeSince)] : []),
      ];
      return `${table}${remarks.join('')}`;
    },
  );
  context.warnUnreadable(history.unreadable);
  return history.view.state === 'unknown' ? 2 : 0;
}

function idleText({ view }: AddressHistory): string {
  return `${formatAddress(view.address)} is ${stateText(view)}: ${meaningOf(view)}.\n`;
}

function meaningOf({ state }: AddressView): string {
  if (state === 'unknown') return 'the record of its block cannot be read';
  return state === 'reserved' ? 'it is never given out' : 'nobody has it now';
}

function noneText({ view, past }: AddressHistory, since: string | undefined): string {
  const ip = formatAddress(view.address);
  if (past.length === 0) return `No release of ${ip} is recorded.\n`;
  return `No release of ${ip} in the last ${since ?? ''} is recorded; before that, ${past.length}.\n`;
}

function boundText({ block, kept }: AddressHistory, completeSince: number): string {
  return `The last ${kept} releases of block ${formatCidr(block)} are kept, and the oldest of them is of ${secondsText(completeSince)}: earlier ones may have been overwritten.\n`;
}

/** A time for which an owner had an address. Without `until`, the owner still has it. */
export interface LifetimeRow {
  readonly ip: string;
  readonly from: number;
  readonly until?: number;
  readonly node: string;
  readonly owner: Omit<Owner, 'bootId'>;
  readonly cause?: ReleaseCause;
}

function currentRow({ view: { address, node, slot } }: AddressHistory): LifetimeRow[] {
  if (slot?.state !== 'used') return [];
  return [{ ip: formatAddress(address), from: slot.allocatedAt, node: node ?? '-', owner: slot.owner }];
}

export function lifetimeRow(lifetime: Lifetime): LifetimeRow {
  const { address, allocatedAt: from, releasedAt: until, node, owner, cause } = lifetime;
  return { ip: formatAddress(address), from, until, node, owner, cause };
}

function lifetimeTable(rows: readonly LifetimeRow[], now: number, paint: Paint): string {
  return renderTable<LifetimeRow>(
    [
      { title: 'FROM', value: ({ from }) => secondsText(from) },
      {
        title: 'UNTIL',
        value: ({ until }) => (until === undefined ? painted(paint.green('in use')) : secondsText(until)),
      },
      { title: 'LASTED', value: ({ from, until }) => formatAge((until ?? now) - from), right: true },
      { title: 'ENDED', value: ({ until }) => agoText(until, now), right: true },
      { title: 'NODE', value: ({ node }) => printable(node) },
      { title: 'POD', value: ({ owner }) => printable(podText(owner)) },
      { title: 'INTERFACE', value: ({ owner }) => printable(owner.ifname) },
      { title: 'CONTAINER', value: ({ owner }) => printable(owner.containerId.slice(0, 12)) },
      { title: 'WHY', value: ({ cause }) => causeText(cause) },
    ],
    rows,
    paint,
  );
}

/** Formats to the second, because an operator takes the time to look for from a log. */
export const secondsText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

export const agoText = (ms: number | undefined, now: number): string =>
  ms === undefined ? '-' : `${formatAge(now - ms)} ago`;

/** `leaked (pod-gone), by alice@admin-1` */
export function causeText(cause: ReleaseCause | undefined): string {
  if (!cause) return '-';
  const detail = cause.why === 'conflict' ? cause.conflictMac : cause.detail;
  const more = detail === undefined ? '' : ` (${detail})`;
  return printable(`${cause.why}${more}${cause.by === undefined ? '' : `, by ${cause.by}`}`);
}

/** Scripts rely on these keys. */
export function lifetimeJson({ address, node, owner, allocatedAt, releasedAt, cause }: Lifetime): object {
  return {
    ip: formatAddress(address),
    node,
    containerId: owner.containerId,
    ifname: owner.ifname,
    network: owner.network,
    pod: podJson(owner),
    allocatedAt: new Date(allocatedAt).toISOString(),
    releasedAt: new Date(releasedAt).toISOString(),
    why: cause.why,
    detail: cause.detail ?? null,
    by: cause.by ?? null,
    conflictMac: cause.why === 'conflict' ? cause.conflictMac : null,
  };
}
