import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import { addressAt } from '../../ipam/map/map.ts';
import { formatAge } from '../context/durations.ts';
import { renderCount } from '../render/bar.ts';
import { cutTo, oneColumnEach, type Line, type Piece, type Size } from '../render/frame.ts';
import { plural } from '../render/plural.ts';
import { aboutCell, addressLines } from './address.ts';
import { blockList, blockTitle, cursorIn, rowLine } from './blocks.ts';
import { LEGEND } from './cells.ts';
import { fullText } from './full.ts';
import { HELP, HINTS } from './help.ts';
import { bodyRows, layoutFor } from './layout.ts';
import { viewOf, type Facts, type Link, type Model, type RangeView } from './model.ts';
import { overviewIndex, overviewLines, rangesInOrder } from './overview.ts';
import { NO_TREND, trendText } from './trend.ts';

interface Body {
  readonly titles: Line;
  readonly rows: readonly Line[];
  readonly about: Line;
}

/** Returns the whole screen, a line for each of its rows. */
export function renderMap(model: Model, facts: Facts, size: Size): Line[] {
  const layout = layoutFor(size);
  const rows = bodyRows(size);
  const body = bodyOf(model, facts, size);
  const filled = Array.from({ length: rows }, (_, i): Line => body.rows[i] ?? []);
  return [
    ...(layout.header ? [headerLine(model, facts, size.columns)] : []),
    ...(layout.titles ? [body.titles] : []),
    ...filled,
    ...(layout.about ? [body.about] : []),
    ...(layout.legend ? [[{ text: '  ' }, ...LEGEND]] : []),
    ...(layout.footer ? [footerLine(model, facts)] : []),
  ].slice(0, size.rows);
}

function bodyOf(model: Model, facts: Facts, size: Size): Body {
  if (model.help) return { titles: [{ text: '  KEYS', style: 'title' }], rows: HELP, about: [] };
  if (facts.link.kind === 'reading' && facts.ranges.length === 0)
    return { titles: [], rows: [readingLine(facts.link.records)], about: [] };
  const view = viewOf(model);
  const rows = bodyRows(size);
  const top = model.tops.at(-1) ?? 0;
  if (view.kind === 'range') return rangeBody(model, view, facts, size);
  if (view.kind === 'address') {
    const lines = addressLines(view, facts, size.columns);
    return { titles: [], rows: lines.slice(top, top + rows), about: [] };
  }
  return overviewBody(model, facts, size);
}

const readingLine = (records: number): Line => [
  { text: `  reading etcd${records === 0 ? '' : `: ${plural(records, 'record')}`}`, style: 'dim' },
];

function overviewBody(model: Model, facts: Facts, { columns, rows: height }: Size): Body {
  const view = viewOf(model);
  const { title, count, line } = overviewLines(model, facts, columns);
  const cursor = overviewIndex(model, facts, view.kind === 'overview' ? view.at : undefined);
  if (count === 0)
    return { titles: title, rows: [[{ text: `  ${emptyText(facts)}`, style: 'dim' }]], about: [] };
  const indexes = shown(model, count, { columns, rows: height });
  return {
    titles: title,
    rows: indexes.map((index) => line(index, index === cursor)),
    about: aboutRange(model, facts, cursor),
  };
}

function emptyText({ link, node }: Facts): string {
  if (link.kind === 'away') return 'nothing has been read yet';
  return node === undefined ? 'no ranges: cnictl range add adds one' : `no blocks of node ${node}`;
}

function aboutRange(model: Model, facts: Facts, cursor: number): Line {
  const found = rangesInOrder(facts, model.overviewOrder)[cursor];
  if (!found) return [];
  const { range, counts, blocks, capacity } = found;
  const { used, cooling, kept, conflict, unknown, free } = counts;
  const parts = [
    `${renderCount(used)} of ${renderCount(capacity)} used`,
    `${renderCount(free)} free`,
    ...(
      [
        ['cooling', cooling],
        ['kept', kept],
        ['conflict', conflict],
        ['unknown', unknown],
      ] as const
    ).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : [])),
    `${blocks.claimed} of ${plural(blocks.total, 'block')} claimed`,
    fullText(facts, range.name),
  ].filter((part) => part !== '');
  return [{ text: range.name, style: 'bold' }, { text: `  ${parts.join(', ')}` }];
}

function rangeBody(model: Model, view: RangeView, facts: Facts, size: Size): Body {
  const list = blockList(view, model.blockOrder, facts, size.columns);
  if (!list)
    return {
      titles: [],
      rows: [[{ text: `  there is no range ${view.range} any more`, style: 'yellow' }]],
      about: [],
    };
  const { index: cursor, at } = cursorIn(view, list);
  const indexes = shown(model, list.rows.length, size);
  const cell = at ? addressAt(facts.source, at, facts.now) : undefined;
  return {
    titles: blockTitle(list.widths),
    rows: indexes.flatMap((index) => {
      const row = list.rows[index];
      return row ? [rowLine(row, list.widths, index === cursor ? at : undefined)] : [];
    }),
    about: cell ? aboutCell(cell, facts.now) : [],
  };
}

/** Indexes of the rows on the screen. */
function shown(model: Model, count: number, size: Size): number[] {
  const rows = bodyRows(size);
  const top = Math.min(model.tops.at(-1) ?? 0, Math.max(0, count - 1));
  return Array.from({ length: Math.min(rows, count - top) }, (_, i) => top + i);
}

function headerLine(model: Model, facts: Facts, columns: number): Line {
  const right = linkPiece(facts.link, facts.now);
  const room = columns - right.text.length - 1;
  const left = cutTo(oneColumnEach(titleOf(model, facts)), Math.max(0, room));
  const space = ' '.repeat(Math.max(1, columns - Array.from(left).length - right.text.length));
  return [{ text: left, style: 'title' }, { text: space }, right];
}

function linkPiece(link: Link, now: number): Piece {
  switch (link.kind) {
    case 'live':
      return { text: 'live', style: 'green' };
    case 'reading':
      return { text: `reading etcd: ${plural(link.records, 'record')}`, style: 'yellow' };
    case 'away': {
      const since = new Date(link.since).toISOString().slice(11, 19);
      return { text: `etcd away since ${since}Z (${formatAge(now - link.since)})`, style: 'red' };
    }
  }
}

function titleOf(model: Model, facts: Facts): string {
  const view = viewOf(model);
  const filter = facts.node === undefined ? '' : `  node ${facts.node}`;
  const broken = facts.source.unreadable.length;
  const more = `${filter}${broken > 0 ? `  ${plural(broken, 'unreadable record')}` : ''}`;
  if (view.kind === 'address') return `cnictl map  ${formatAddress(view.address)}`;
  if (view.kind === 'overview') {
    const used = facts.ranges.reduce((sum, { counts }) => sum + counts.used, 0);
    return `cnictl map  ${plural(facts.ranges.length, 'range')}, ${renderCount(used)} used${more}`;
  }
  const found = facts.ranges.find(({ range }) => range.name === view.range);
  if (!found) return `cnictl map  ${view.range}`;
  const { range } = found;
  const trend = trendText(facts.trends.get(range.name) ?? NO_TREND);
  const parts = [
    formatCidr(range.cidr),
    range.vlan === undefined ? '' : `VLAN ${range.vlan}`,
    range.state === 'draining' ? 'draining' : '',
    `${found.counts.used}/${renderCount(found.capacity)}`,
    trend,
    fullText(facts, range.name),
  ];
  return `cnictl map  ${range.name}  ${parts.filter((part) => part !== '').join('  ')}${more}`;
}

function footerLine(model: Model, { link }: Facts): Line {
  if (model.prompt !== undefined) return [{ text: `/${model.prompt}` }, { text: ' ', inverse: true }];
  if (model.help) return [{ text: 'any key: back to the map', style: 'dim' }];
  if (model.message !== undefined) return [{ text: model.message, style: 'yellow' }];
  if (link.kind === 'away') return [{ text: `trying again: ${link.reason}`, style: 'red' }];
  return [{ text: HINTS, style: 'dim' }];
}
