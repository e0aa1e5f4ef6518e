import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import type { Keep } from '../../ipam/model/keep.ts';
import { macOf } from '../../ipam/model/mac.ts';
import { addressAt, type AddressCell } from '../../ipam/map/map.ts';
import { podNameOf } from '../../ipam/map/search.ts';
import { formatAge, formatDuration } from '../context/durations.ts';
import { oneColumnEach, type Line } from '../render/frame.ts';
import { CELL_STYLES } from './cells.ts';
import { holderOf } from './blocks.ts';
import type { AddressView, Facts, Past } from './model.ts';

type Field = readonly [name: string, value: string];

/** Returns what is known of an address, as names and values. */
export function addressFields(cell: AddressCell, now: number): Field[] {
  const { address, range, cidr, holder, node, slot } = cell;
  return [
    ['Address', formatAddress(address)],
    ['State', stateText(cell)],
    [
      'Range',
      `${range.name}  ${formatCidr(range.cidr)}${range.vlan === undefined ? '' : `  VLAN ${range.vlan}`}`,
    ],
    ['Block', `${formatCidr(cidr)}  ${holder === undefined ? 'not claimed' : `of ${holderOf({ holder })}`}`],
    ...(node === undefined ? [] : [['Node', node] as const]),
    ...(slot ? slotFields(cell, slot, now) : []),
  ];
}

function slotFields(
  { address, state }: AddressCell,
  slot: NonNullable<AddressCell['slot']>,
  now: number,
): Field[] {
  const since = (at: number): Field => ['Since', `${secondsText(at)} (${formatAge(now - at)})`];
  switch (slot.state) {
    case 'used': {
      const { owner, keep, condemned, chosenBy } = slot;
      return [
        ['Pod', podNameOf(slot) ?? '-'],
        ['Pod UID', owner.podUid ?? '-'],
        ['Container', owner.containerId],
        ['Interface', owner.ifname],
        ['Network', owner.network],
        ...(address.family === 4
          ? [['MAC', `${macOf([address])} (unless the pod asked for another)`] as const]
          : []),
        since(slot.allocatedAt),
        ...(keep ? [['Keep', `when the pod goes, ${keepText(keep)}, by rule ${keep.rule}`] as const] : []),
        ...(chosenBy ? [['Chosen', `by annotation ${chosenBy.join(' and ')} of the pod`] as const] : []),
        ...(condemned
          ? [['Condemned', `${secondsText(condemned.at)} by ${condemned.by}: ${condemned.reason}`] as const]
          : []),
      ];
    }
    case 'kept': {
      const { keep, keptAt } = slot;
      if (state !== 'kept') return [since(keptAt)];
      const left = keep.forMs === undefined ? '' : `, ${formatAge(keptAt + keep.forMs - now)} more`;
      return [
        ['Pod', `${podNameOf(slot) ?? '-'} (gone)`],
        [
          'Keep',
          `for ${keep.anyPod ? 'any pod of the rule' : 'this pod'}, ${keepText(keep)}${left}, by rule ${keep.rule}`,
        ],
        since(keptAt),
      ];
    }
    case 'released':
      return [
        ['Released', `${secondsText(slot.releasedAt)} (${formatAge(now - slot.releasedAt)} ago)`],
        ...(state === 'conflict'
          ? [['Conflict', `${slot.conflictMac ?? '?'} uses it: set aside for an hour`] as const]
          : []),
      ];
    case 'free':
    case 'reserved':
      return [];
  }
}

const stateText = ({ state, reservedAs }: AddressCell): string =>
  reservedAs === undefined ? state : `${state} (${reservedAs})`;

const keepText = ({ forMs }: Keep): string =>
  forMs === undefined ? 'for ever' : `for ${formatDuration(forMs)}`;

const secondsText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

/** The view of an address, a line for each field. Long values go on in the next line. */
export function addressLines({ address, past }: AddressView, facts: Facts, columns: number): Line[] {
  const cell = addressAt(facts.source, address, facts.now);
  if (!cell) return [[{ text: `no range has ${formatAddress(address)}`, style: 'yellow' }]];
  const fields = addressFields(cell, facts.now);
  const width = Math.max(...fields.map(([name]) => name.length)) + 2;
  const lines = fields.flatMap(([name, value]): Line[] => {
    const style = name === 'State' ? CELL_STYLES[cell.state] : 'plain';
    return wrapped(value, columns - width - 2).map((text, i) => [
      { text: `  ${(i === 0 ? name : '').padEnd(width)}`, style: 'title' },
      { text, style },
    ]);
  });
  return [...lines, [], ...(past ? pastLines(facts.past.get(formatAddress(address)), columns) : [ASK])];
}

const ASK: Line = [{ text: '  Enter: who had it before', style: 'dim' }];

function pastLines(past: Past | undefined, columns: number): Line[] {
  const title: Line = [{ text: '  Before', style: 'title' }];
  switch (past?.kind) {
    case undefined:
    case 'reading':
      return [title, [{ text: '  reading its history', style: 'dim' }]];
    case 'failed':
      return [
        title,
        ...wrapped(past.reason, columns - 2).map((text): Line => [{ text: `  ${text}`, style: 'red' }]),
      ];
    case 'read':
      return [
        title,
        ...past.lines.flatMap((line) =>
          wrapped(line, columns - 2).map((text): Line => [{ text: `  ${text}` }]),
        ),
      ];
  }
}

function wrapped(text: string, width: number): string[] {
  const characters = Array.from(oneColumnEach(text));
  const step = Math.max(8, width);
  const count = Math.max(1, Math.ceil(characters.length / step));
  return Array.from({ length: count }, (_, i) => characters.slice(i * step, (i + 1) * step).join(''));
}

/** What is under the cursor, in one line: `10.20.0.17  used  shop/web-1  node-1  3h10m`. */
export function aboutCell(cell: AddressCell, now: number): Line {
  const { address, state, slot, node, holder } = cell;
  const at = slot?.state === 'used' ? slot.allocatedAt : slot?.state === 'kept' ? slot.keptAt : undefined;
  const since = at ?? (slot?.state === 'released' ? slot.releasedAt : undefined);
  const parts = [
    slot ? podNameOf(slot) : undefined,
    node ?? (holder === undefined ? 'block not claimed' : holderOf({ holder })),
    since === undefined || state === 'free' ? undefined : formatAge(now - since),
  ];
  return [
    { text: formatAddress(address), style: 'bold' },
    { text: '  ' },
    { text: stateText(cell), style: CELL_STYLES[state] },
    { text: `  ${parts.filter((part) => part !== undefined).join('  ')}` },
  ];
}
