import type { CellEvent } from '../../ipam/events/event.ts';
import type { Paint } from './paint.ts';
import { printable } from './printable.ts';

/** Widths of the columns: lines come one by one, so nothing tells how wide they will get. */
const WIDTHS = { at: 20, type: 14, address: 15 };
const ENDS = new Set(['released', 'block-returned', 'range-removed', 'rule-removed', 'node-removed']);
const TROUBLE = new Set(['gap', 'conflict', 'condemned', 'set-back', 'unreadable', 'node-silent']);

/** Returns the event as a line. */
export function eventLine(event: CellEvent, paint: Paint): string {
  const { at, type, ip, block, cidr, range } = event;
  const colour = TROUBLE.has(type) ? paint.yellow : ENDS.has(type) ? paint.dim : paint.green;
  const cells = [
    (at === null ? '-' : at.replace(/\.\d+Z$/, 'Z')).padEnd(WIDTHS.at),
    colour(type.padEnd(WIDTHS.type)),
    (ip ?? block ?? cidr ?? '-').padEnd(WIDTHS.address),
    ...[podText(event), event.node, range, moreText(event)].map((each) => printable(each ?? '')),
  ];
  return `${cells
    .filter((cell) => cell !== '')
    .join('  ')
    .trimEnd()}\n`;
}

function podText({ pod, rule }: CellEvent): string | undefined {
  if (rule !== undefined) return `rule ${rule} of ${pod?.namespace ?? '?'}`;
  return pod ? `${pod.namespace ?? '?'}/${pod.name ?? '?'}` : undefined;
}

function moreText(event: CellEvent): string | undefined {
  const { type, why, detail, conflictMac, by, fromNode, keep, reason, state, machine, key } = event;
  const cause = [why, detail ?? conflictMac].filter((each) => each !== undefined).join(', ');
  const parts = [
    fromNode === undefined ? undefined : `from ${fromNode}`,
    cause === '' ? undefined : cause,
    keep ? `kept by rule ${keep.rule}` : undefined,
    type === 'gap' ? gapText(event) : reason,
    key,
    state,
    machine === undefined ? undefined : `machine ${machine}`,
    by === undefined ? undefined : `by ${by}`,
  ];
  return parts.filter((each) => each !== undefined).join('; ');
}

function gapText({ from = 0, to = 0, reason = '', complete = false }: CellEvent): string {
  const what = complete ? 'told below by the history' : 'not all of it is told below';
  return `revisions ${from + 1} to ${to} (${reason}): ${what}`;
}
