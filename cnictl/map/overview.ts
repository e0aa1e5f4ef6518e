import { compareAddresses, formatCidr } from '../../ipam/model/address.ts';
import type { RangeOverview } from '../../ipam/map/map.ts';
import { renderCount } from '../render/bar.ts';
import { fullInText } from '../render/forecast.ts';
import { fit, type Line, type Piece, type Style } from '../render/frame.ts';
import { takenOf } from './cells.ts';
import { fullAt } from './full.ts';
import type { Facts, Model, Order, OverviewOrder } from './model.ts';
import { NO_TREND, trendText } from './trend.ts';

/** Returns the ranges in the order that is shown. */
export function rangesInOrder(
  facts: Pick<Facts, 'ranges' | 'forecasts' | 'now'>,
  { by, reversed }: Order<OverviewOrder>,
): RangeOverview[] {
  const sorted = [...facts.ranges];
  if (by === 'fill') sorted.sort((a, b) => shareOf(b) - shareOf(a));
  if (by === 'full') {
    const at = new Map(sorted.map(({ range: { name } }) => [name, fullAt(facts, name)]));
    const compared = ({ range: { name } }: RangeOverview): number => at.get(name) ?? Infinity;
    sorted.sort((a, b) => (compared(a) === compared(b) ? 0 : compared(a) - compared(b)));
  }
  if (by === 'address') sorted.sort((a, b) => compareAddresses(a.range.cidr.base, b.range.cidr.base));
  return reversed ? sorted.reverse() : sorted;
}

export const shareOf = ({ capacity, counts }: RangeOverview): number =>
  capacity === 0 ? 0 : takenOf(counts) / capacity;

interface OverviewColumn {
  readonly title: string;
  readonly text: (row: RangeOverview, facts: Facts) => string;
  readonly right?: boolean;
  /** A narrow screen leaves the highest numbers out. */
  readonly rank: number;
  /** The text is cut to this width. */
  readonly most?: number;
  readonly style?: (row: RangeOverview) => Style;
}

const BAR = 8;

/** As `range list` tells it. */
const FULL_IN: OverviewColumn = {
  title: 'FULL IN',
  rank: 7,
  text: ({ range }, { forecasts, now }) => fullInText(forecasts?.ranges.get(range.name), now),
};

const COLUMNS: readonly OverviewColumn[] = [
  { title: 'RANGE', rank: 0, most: 20, text: ({ range }) => range.name },
  { title: 'CIDR', rank: 3, text: ({ range }) => formatCidr(range.cidr) },
  { title: 'VLAN', rank: 5, right: true, text: ({ range }) => String(range.vlan ?? '-') },
  { title: 'FILL', rank: 2, text: barText, style: fillStyle },
  { title: 'TAKEN', rank: 1, right: true, text: percentOf, style: fillStyle },
  { title: 'USED', rank: 4, right: true, text: ({ counts }) => renderCount(counts.used) },
  { title: 'FREE', rank: 6, right: true, text: ({ counts }) => renderCount(counts.free) },
  {
    title: 'SINCE OPEN',
    rank: 9,
    text: ({ range }, { trends }) => trendText(trends.get(range.name) ?? NO_TREND),
  },
  FULL_IN,
  { title: 'HOLDERS', rank: 10, right: true, text: ({ holders }) => String(holders) },
  {
    title: 'OTHER',
    rank: 8,
    text: otherText,
    style: ({ counts }) => (counts.conflict > 0 ? 'red' : 'plain'),
  },
  {
    title: 'BLOCKS',
    rank: 11,
    right: true,
    text: ({ blocks }) => `${blocks.claimed}/${renderCount(blocks.total)}`,
  },
];

/** Parts of a cell's width, as an eighth each. */
function barText(row: RangeOverview): string {
  const share = shareOf(row);
  const full = Math.floor(share * BAR);
  const filled = share > 0 ? Math.max(full, 1) : 0;
  return '█'.repeat(Math.min(filled, BAR)) + '░'.repeat(Math.max(0, BAR - filled));
}

function fillStyle(row: RangeOverview): Style {
  const share = shareOf(row);
  return share >= 0.95 ? 'red' : share >= 0.8 ? 'yellow' : 'green';
}

/** Only an empty range has 0 %, and only a full one 100 %. */
function percentOf(row: RangeOverview): string {
  const percent = shareOf(row) * 100;
  if (percent > 0 && percent < 1) return '<1%';
  return percent > 99 && percent < 100 ? '>99%' : `${Math.round(percent)}%`;
}

/** Addresses that are neither used nor free, by letter: `2c 1k 1!`. */
export function otherText({ counts: { cooling, kept, conflict, unknown }, range }: RangeOverview): string {
  const parts = [
    [cooling, 'c'],
    [kept, 'k'],
    [conflict, '!'],
    [unknown, '?'],
  ] as const;
  const told = parts.filter(([count]) => count > 0).map(([count, letter]) => `${count}${letter}`);
  return [...told, ...(range.state === 'draining' ? ['draining'] : [])].join(' ');
}

/** Which columns fit, and how wide each is. */
function columnsFor(
  rows: readonly RangeOverview[],
  facts: Facts,
  width: number,
): (OverviewColumn & { width: number })[] {
  const known = COLUMNS.filter((column) => column !== FULL_IN || facts.forecasts?.sampled);
  const sized = known.map((column) => {
    const longest = rows.reduce(
      (most, row) => Math.max(most, Array.from(column.text(row, facts)).length),
      column.title.length,
    );
    return { ...column, width: Math.min(longest, column.most ?? longest) };
  });
  let shown = sized;
  const total = (): number => shown.reduce((sum, column) => sum + column.width + 2, 0);
  for (let rank = COLUMNS.length - 1; rank > 0 && total() > width; rank--)
    shown = shown.filter((column) => column.rank !== rank);
  return shown;
}

/** A table of ranges: its titles, and a line for each of the rows asked for. */
export function overviewLines(
  model: Model,
  facts: Facts,
  columns: number,
): {
  readonly title: Line;
  readonly count: number;
  readonly line: (index: number, isCursor: boolean) => Line;
} {
  const rows = rangesInOrder(facts, model.overviewOrder);
  const shown = columnsFor(rows, facts, columns);
  const cellsOf = (
    value: (column: OverviewColumn) => string,
    style: (column: OverviewColumn) => Style,
  ): Piece[] =>
    shown.flatMap((column, i): Piece[] => [
      ...(i === 0 ? [] : [{ text: '  ' }]),
      { text: fit(value(column), column.width, column.right), style: style(column) },
    ]);
  return {
    title: [
      { text: '  ' },
      ...cellsOf(
        ({ title }) => title,
        () => 'title',
      ),
    ],
    count: rows.length,
    line: (index, isCursor) => {
      const row = rows[index];
      if (!row) return [];
      const cells = cellsOf(
        ({ text }) => text(row, facts),
        ({ style }) => style?.(row) ?? 'plain',
      );
      const [name, ...rest] = cells;
      const marked = isCursor && name ? [{ ...name, inverse: true }, ...rest] : cells;
      return [{ text: isCursor ? '> ' : '  ' }, ...marked];
    },
  };
}

/** Returns the row of the range under the cursor. */
export function overviewIndex(model: Model, facts: Facts, at: string | undefined): number {
  const rows = rangesInOrder(facts, model.overviewOrder);
  return Math.max(
    0,
    rows.findIndex(({ range }) => range.name === at),
  );
}
