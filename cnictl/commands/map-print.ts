import { formatCidr, type Address } from '../../ipam/model/address.ts';
import { CELL_LETTERS, type CellState } from '../../ipam/map/cells.ts';
import {
  addressAt,
  blockRows,
  overviewOf,
  type AddressCell,
  type BlockRow,
  type RangeOverview,
} from '../../ipam/map/map.ts';
import type { MapSource } from '../../ipam/map/source.ts';
import type { Forecasts } from '../../ipam/query/forecasts.ts';
import type { AddressView } from '../../ipam/query/views.ts';
import { formatDuration } from '../../ipam/model/duration.ts';
import type { Context } from '../context/context.ts';
import { addressFields } from '../map/address.ts';
import { blockList, countsText, holderOf, type Row } from '../map/blocks.ts';
import { lettersOf, takenOf } from '../map/cells.ts';
import { otherText } from '../map/overview.ts';
import type { Facts } from '../map/model.ts';
import { narrowed, whereOf, type MapFilter } from '../map/where.ts';
import { renderBar, renderCount } from '../render/bar.ts';
import { forecastJson, fullInText } from '../render/forecast.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { renderFields, renderTable } from '../render/table.ts';
import { addressJson } from './ip.ts';

/** What is printed. */
interface Printed {
  readonly source: MapSource;
  /** Undefined if no samples could be read. */
  readonly forecasts: Forecasts | undefined;
}

/** Prints the map once: all ranges, or the part that was named. */
export function printMap(
  context: Context,
  printed: Printed,
  text: string | undefined,
  filter: MapFilter,
): void {
  const { source } = printed;
  const now = context.world.now();
  const where = text === undefined ? undefined : whereOf(source, text, now);
  switch (where?.kind) {
    case undefined:
      printOverview(context, printed, filter, now);
      break;
    case 'range':
      printRange(context, source, where.range, filter, now);
      break;
    case 'addresses':
      printAddresses(context, source, where.addresses, now);
      break;
    case 'blocks': {
      const { range, node } = where;
      if (node === undefined) printRange(context, source, range, filter, now);
      else printNode(context, narrowed(source, { node }), node, now);
      break;
    }
  }
}

function printOverview(
  context: Context,
  { source, forecasts }: Printed,
  { node }: MapFilter,
  now: number,
): void {
  const all = overviewOf(source, now);
  const known = forecasts?.sampled ? forecasts : undefined;
  const jsonOf = (row: RangeOverview): object => ({
    ...overviewJson(row),
    ...(known && { forecast: forecastJson(known, known.ranges.get(row.range.name), now) }),
  });
  const rows = node === undefined ? all : all.filter(({ blocks }) => blocks.claimed > 0);
  context.print(rows.map(jsonOf), () => {
    if (rows.length === 0) return node === undefined ? 'No ranges.\n' : `No blocks of node ${node}.\n`;
    return overviewTable(rows, { forecasts: known, now }, context.paint);
  });
}

function overviewTable(
  rows: readonly RangeOverview[],
  { forecasts, now }: Pick<Facts, 'forecasts' | 'now'>,
  paint: Paint,
): string {
  const fullIn = ({ range }: RangeOverview): string => fullInText(forecasts?.ranges.get(range.name), now);
  const count = (state: CellState) => ({
    title: state.toUpperCase(),
    right: true,
    value: ({ counts }: RangeOverview) => renderCount(counts[state]),
  });
  return renderTable<RangeOverview>(
    [
      { title: 'RANGE', value: ({ range }) => range.name },
      { title: 'CIDR', value: ({ range }) => formatCidr(range.cidr) },
      { title: 'VLAN', right: true, value: ({ range }) => String(range.vlan ?? '-') },
      {
        title: 'FILL',
        value: ({ counts, capacity }) => painted(renderBar(takenOf(counts), capacity, paint)),
      },
      count('used'),
      count('free'),
      { title: 'OTHER', value: (row) => otherText(row) || '-' },
      {
        title: 'BLOCKS',
        right: true,
        value: ({ blocks: { claimed, total } }) => `${claimed}/${renderCount(total)}`,
      },
      { title: 'HOLDERS', right: true, value: ({ holders }) => String(holders) },
      ...(forecasts ? [{ title: 'FULL IN', value: fullIn }] : []),
    ],
    rows,
    paint,
  );
}

const overviewJson = ({ range, capacity, counts, blocks, holders }: RangeOverview): object => ({
  name: range.name,
  cidr: formatCidr(range.cidr),
  vlan: range.vlan ?? null,
  state: range.state,
  ...{ capacity, counts, blocks, holders },
});

function printRange(
  context: Context,
  source: MapSource,
  name: string,
  { node }: MapFilter,
  now: number,
): void {
  const ranges = overviewOf(source, now).filter(({ range }) => range.name === name);
  context.print(ranges.map((each) => rangeJson(each, source, node, now))[0], () =>
    rangeTables(ranges, source, node, context.paint, now),
  );
}

/** The blocks of a node, in all its ranges. */
function printNode(context: Context, source: MapSource, node: string, now: number): void {
  const ranges = overviewOf(source, now).filter(({ blocks }) => blocks.claimed > 0);
  context.print(
    ranges.map((each) => rangeJson(each, source, node, now)),
    () => rangeTables(ranges, source, node, context.paint, now),
  );
}

function rangeTables(
  ranges: readonly RangeOverview[],
  source: MapSource,
  node: string | undefined,
  paint: Paint,
  now: number,
): string {
  const about = { now, source, ranges, trends: new Map(), past: new Map(), link: { kind: 'live' } } as const;
  const facts: Facts = { ...about, ...(node !== undefined && { node }) };
  return `${ranges.map((each) => rangeTable(each, facts, paint)).join('\n')}${legend()}\n`;
}

function rangeJson(each: RangeOverview, source: MapSource, node: string | undefined, now: number): object {
  const found = blockRows(source, each.range.name, now);
  const rows = (found?.rows ?? []).filter(({ block }) => node === undefined || block);
  return { ...overviewJson(each), rows: rows.map(blockJson), rowsNotShown: found?.hidden ?? 0 };
}

const blockJson = ({ cidr, holder, claimedAt, cells, counts }: BlockRow): object => ({
  cidr: formatCidr(cidr),
  holder: holder ?? null,
  claimedAt: claimedAt === undefined ? null : new Date(claimedAt).toISOString(),
  cells: lettersOf(cells),
  counts,
});

function rangeTable(each: RangeOverview, facts: Facts, paint: Paint): string {
  const { range } = each;
  const order = { by: 'address', reversed: false } as const;
  const view = { kind: 'range', range: range.name, unfolded: false } as const;
  // So wide that each block is one row.
  const list = blockList(view, order, facts, Number.MAX_SAFE_INTEGER);
  const vlan = range.vlan === undefined ? '' : `  VLAN ${range.vlan}`;
  const rest = `cooldown ${formatDuration(range.cooldownMs)}`;
  const title = `${paint.bold(range.name)}  ${formatCidr(range.cidr)}${vlan}  ${rest}\n`;
  const table = renderTable<Row>(
    [
      { title: 'BLOCK', value: (row) => startOf(row) },
      { title: 'ADDRESSES', value: (row) => painted(cellsText(row, paint)) },
      {
        title: 'USED',
        right: true,
        value: (row) => (row.kind === 'block' ? countsText(row.block) : '-'),
      },
      { title: 'HOLDER', value: (row) => (row.kind === 'block' ? holderOf(row.block) : '-') },
    ],
    list?.rows ?? [],
    paint,
  );
  return `${title}${table}`;
}

function startOf(row: Row): string {
  const block = row.kind === 'block' ? row.block : row.kind === 'fold' ? row.blocks[0] : undefined;
  return block ? formatCidr(block.cidr) : '-';
}

function cellsText(row: Row, paint: Paint): string {
  if (row.kind === 'hidden') return paint.dim(`${renderCount(row.count)} more, unclaimed`);
  if (row.kind === 'fold') return paint.dim(`${row.blocks.length} blocks, unclaimed`);
  return row.block.cells.map((cell) => paintOf(cell, paint)(CELL_LETTERS[cell])).join('');
}

function paintOf(cell: CellState, paint: Paint): (text: string) => string {
  if (cell === 'used') return paint.green;
  if (cell === 'conflict') return paint.red;
  return cell === 'unknown' ? paint.yellow : paint.dim;
}

const legend = (): string =>
  Object.entries(CELL_LETTERS)
    .map(([state, letter]) => `${letter} ${state}`)
    .join('  ');

function printAddresses(
  context: Context,
  source: MapSource,
  addresses: readonly Address[],
  now: number,
): void {
  const cells = addresses.flatMap((address) => addressAt(source, address, now) ?? []);
  const json = cells.map((cell) => addressJson(viewOf(cell)));
  context.print(json, () =>
    cells.map((cell) => renderFields(addressFields(cell, now), context.paint)).join('\n'),
  );
}

/** As `ip show` has it. */
const viewOf = ({
  address,
  range,
  block,
  node,
  holder,
  state,
  slot,
  reservedAs,
}: AddressCell): AddressView => ({
  address,
  range: range.name,
  block: block?.cidr,
  node: node ?? holder,
  state: state === 'conflict' ? 'cooling' : state,
  slot,
  reservedAs: state === 'reserved' ? reservedAs : undefined,
});
