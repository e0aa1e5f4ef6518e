import {
  cidrSpan,
  formatAddress,
  formatCidr,
  offsetAddress,
  sameAddress,
  spanContains,
  type Address,
} from '../../ipam/model/address.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import { countCells } from '../../ipam/map/cells.ts';
import { blockRows, type BlockRow } from '../../ipam/map/map.ts';
import { isOfNode } from '../../ipam/model/block.ts';
import { renderCount } from '../render/bar.ts';
import { fit, type Line } from '../render/frame.ts';
import { cellPieces, takenOf } from './cells.ts';
import type { BlockOrder, Facts, Order, RangeView } from './model.ts';

/** A row of the screen in the view of a range. */
export type Row =
  /** A block, or of one that is too wide for the screen the cells from one to before another. */
  | { readonly kind: 'block'; readonly block: BlockRow; readonly from: number; readonly to: number }
  /** Neighbours that nobody has claimed. */
  | { readonly kind: 'fold'; readonly blocks: readonly BlockRow[] }
  /** Further blocks that nobody has claimed, too many for a row each. */
  | { readonly kind: 'hidden'; readonly count: number };

export interface BlockList {
  readonly rows: readonly Row[];
  readonly widths: Widths;
}

/** How wide the columns of a block are. A column of width 0 is left out. */
interface Widths {
  readonly block: number;
  readonly cells: number;
  readonly holder: number;
  readonly used: number;
}

const GAP = 2;
const LONGEST_HOLDER = 24;
/** Narrower, a holder's name says nothing. */
const SHORTEST_HOLDER = 6;
const USED = 7;

/** `node-1`, or `rule web`. */
export function holderOf({ holder }: Pick<BlockRow, 'holder'>): string {
  if (holder === undefined) return '-';
  const rule = ruleOf({ node: holder });
  return rule === undefined ? holder : `rule ${rule}`;
}

/** Returns the rows of a range; undefined: there is no such range any more. */
export function blockList(
  view: RangeView,
  order: Order<BlockOrder>,
  facts: Facts,
  columns: number,
): BlockList | undefined {
  const found = blockRows(facts.source, view.range, facts.now);
  if (!found) return undefined;
  const { node } = facts;
  // With a filter, what looks unclaimed may be another's.
  const blocks =
    node === undefined ? found.rows : found.rows.filter(({ block }) => block && isOfNode(block, node));
  const sorted = inOrder(blocks, order);
  const widths = widthsFor(sorted, columns);
  const rows: Row[] = [];
  let run: BlockRow[] = [];
  const endRun = (): void => {
    if (run.length === 1 || view.unfolded) rows.push(...run.flatMap((block) => partsOf(block, widths.cells)));
    else if (run.length > 1) rows.push({ kind: 'fold', blocks: run });
    run = [];
  };
  for (const block of sorted) {
    if (isUnclaimed(block)) {
      run.push(block);
      continue;
    }
    endRun();
    rows.push(...partsOf(block, widths.cells));
  }
  endRun();
  if (found.hidden > 0 && node === undefined) rows.push({ kind: 'hidden', count: found.hidden });
  return { rows, widths };
}

/** A block that cannot be read has no holder either, but it is claimed. */
const isUnclaimed = ({ holder, counts }: BlockRow): boolean => holder === undefined && counts.unknown === 0;

function inOrder(blocks: readonly BlockRow[], { by, reversed }: Order<BlockOrder>): BlockRow[] {
  const sorted = [...blocks];
  if (by === 'fill') sorted.sort((a, b) => last(a, b) || takenOf(b.counts) - takenOf(a.counts));
  if (by === 'holder') sorted.sort((a, b) => last(a, b) || compareTexts(holderOf(a), holderOf(b)));
  return reversed ? sorted.reverse() : sorted;
}

/** What nobody has claimed comes last. */
const last = (a: BlockRow, b: BlockRow): number => Number(isUnclaimed(a)) - Number(isUnclaimed(b));

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function partsOf(block: BlockRow, width: number): Row[] {
  const count = Math.max(1, Math.ceil(block.cells.length / width));
  return Array.from({ length: count }, (_, i) => ({
    kind: 'block',
    block,
    from: i * width,
    to: Math.min((i + 1) * width, block.cells.length),
  }));
}

function widthsFor(blocks: readonly BlockRow[], columns: number): Widths {
  const size = blocks.reduce((most, { cells }) => Math.max(most, cells.length), 1);
  const block = blocks.reduce((most, { cidr }) => Math.max(most, formatCidr(cidr).length), 5);
  const longest = blocks.reduce((most, row) => Math.max(most, holderOf(row).length), SHORTEST_HOLDER);
  const room = columns - GAP - block - GAP;
  const withAll = room - GAP - SHORTEST_HOLDER - GAP - USED;
  // A part begins at a round address.
  const cells = Math.min(size, 2 ** Math.floor(Math.log2(Math.max(4, withAll >= 8 ? withAll : room))));
  const left = room - cells - GAP;
  const used = left >= USED ? USED : 0;
  const holder = Math.min(longest, LONGEST_HOLDER, left - (used > 0 ? used + GAP : 0));
  return { block, cells, holder: holder >= SHORTEST_HOLDER ? holder : 0, used };
}

/** Returns the row that has the address; -1: none. */
export function rowOf(rows: readonly Row[], address: Address): number {
  return rows.findIndex((row) => {
    if (row.kind === 'hidden') return false;
    if (row.kind === 'fold') return row.blocks.some(({ cidr }) => spanContains(cidrSpan(cidr), address));
    const index = indexIn(row.block, address);
    return index >= row.from && index < row.to;
  });
}

/** Returns the address's place in the block; -1: it is not of it. */
export const indexIn = ({ cidr }: BlockRow, address: Address): number =>
  spanContains(cidrSpan(cidr), address) ? Number(address.value - cidr.base.value) : -1;

/** Returns an address of the row. @param cell its place in the row, as far as the row is so long */
export function addressIn(row: Row | undefined, cell: number): Address | undefined {
  if (!row || row.kind === 'hidden') return undefined;
  if (row.kind === 'fold') return row.blocks[0]?.cidr.base;
  const index = Math.min(row.from + Math.max(0, cell), row.to - 1);
  return offsetAddress(row.block.cidr.base, BigInt(index));
}

export function blockTitle({ block, cells, holder, used }: Widths): Line {
  const titles = [
    fit('BLOCK', block),
    fit('ADDRESSES', Math.max(cells, 9)).slice(0, Math.max(cells, 9)),
    ...(used > 0 ? [fit('USED', used, true)] : []),
    ...(holder > 0 ? [fit('HOLDER', holder)] : []),
  ];
  return [{ text: '  ' }, { text: titles.join('  '), style: 'title' }];
}

/** @param at the address under the cursor, if the cursor is in this row */
export function rowLine(row: Row, widths: Widths, at: Address | undefined): Line {
  const mark = { text: at ? '> ' : '  ' };
  if (row.kind === 'hidden')
    return [mark, { text: `and ${renderCount(row.count)} more blocks, unclaimed`, style: 'dim' }];
  if (row.kind === 'fold')
    return [mark, { text: foldText(row.blocks), style: 'dim', inverse: at !== undefined }];
  const { block, from, to } = row;
  const cursor = at ? indexIn(block, at) - from : -1;
  const isFirst = from === 0;
  const counts = from === 0 ? countsText(block) : '';
  const style = isUnclaimed(block) ? 'dim' : 'plain';
  const cells = cellPieces(block.cells.slice(from, to), cursor);
  const width = Math.max(widths.cells, 9);
  return [
    mark,
    {
      text: fit(
        isFirst ? formatCidr(block.cidr) : `  ${formatAddress(offsetAddress(block.cidr.base, BigInt(from)))}`,
        widths.block,
      ),
      style,
    },
    { text: '  ' },
    ...cells,
    { text: ' '.repeat(Math.max(0, width - (to - from))) },
    ...(widths.used > 0 ? ([{ text: `  ${fit(counts, widths.used, true)}`, style }] as const) : []),
    ...(widths.holder > 0
      ? ([{ text: `  ${fit(isFirst ? holderOf(block) : '', widths.holder)}`, style }] as const)
      : []),
  ];
}

/** `12/16` of those that pods can have. */
export function countsText({ counts, cells }: BlockRow): string {
  return `${counts.used}/${cells.length - counts.reserved}`;
}

function foldText(blocks: readonly BlockRow[]): string {
  const [first, end] = [blocks[0], blocks.at(-1)];
  const free = blocks.reduce((sum, { cells }) => sum + countCells(cells).free, 0);
  const span = first && end ? `${formatCidr(first.cidr)} to ${formatCidr(end.cidr)}` : '';
  return `${span}: ${blocks.length} blocks unclaimed, ${renderCount(free)} free`;
}

/** Returns where the cursor is: its row, and its address. */
export function cursorIn(
  view: RangeView,
  { rows }: BlockList,
): { readonly index: number; readonly at: Address | undefined } {
  const index = view.at ? rowOf(rows, view.at) : -1;
  if (index >= 0) return { index, at: view.at };
  const first = nearest(rows, view.at);
  return { index: first, at: addressIn(rows[first], 0) };
}

/** The block under the cursor may go while somebody looks: the next one takes its place. */
function nearest(rows: readonly Row[], at: Address | undefined): number {
  if (!at) return 0;
  const after = rows.findIndex((row) => {
    const address = addressIn(row, 0);
    return address && (sameAddress(address, at) || address.value > at.value);
  });
  return after >= 0 ? after : Math.max(0, rows.length - 1);
}
