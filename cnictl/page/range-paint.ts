import type { Box } from './grid.ts';
import { holderText, stateOf, type Row } from './model.ts';
import { rounded, text } from './overview-paint.ts';
import type { Palette } from './palette.ts';

export const ROW = { height: 24, gap: 2, label: 126, fill: 42, holder: 88, pad: 6 } as const;
const LARGEST_CELL = 16;
const SMALLEST_CELL = 9;
/** Below this size a cell has no room for its letter. */
const LETTER_FROM = 13;

/** Returns the size of a cell, so that a block of any size takes about as much room. */
export const cellSize = (blockSize: number): number =>
  Math.max(SMALLEST_CELL, Math.min(LARGEST_CELL, Math.floor(400 / blockSize)));

export const rowWidth = (blockSize: number): number =>
  ROW.label + blockSize * cellSize(blockSize) + ROW.fill + ROW.holder + 2 * ROW.pad;

export interface RowMood {
  /** Cell that has the keyboard. */
  readonly focused: number | undefined;
  readonly isRowHovered: boolean;
  readonly hovered: number | undefined;
  /** Whether the row's holder is the one that is looked at. */
  readonly isMarked: boolean;
  readonly glow: (cell: number) => number;
}

type Context = CanvasRenderingContext2D;

/** A block: its subnet, its addresses, how many of them are taken, and its holder. */
export function paintRow(context: Context, palette: Palette, row: Row, box: Box, mood: RowMood): void {
  const { x, y, width, height } = box;
  const middle = y + height / 2 + 4;
  const isClaimed = row.holder !== null;
  if (mood.isRowHovered || mood.isMarked) {
    context.fillStyle = palette.hover;
    context.fillRect(x, y, width, height);
  }
  const mono = `12px ${palette.fonts.mono}`;
  text(
    context,
    row.cidr,
    x + ROW.pad,
    middle,
    mono,
    isClaimed ? palette.text : palette.dim,
    'left',
    ROW.label - ROW.pad,
  );
  const size = cellSize(row.cells.length);
  const left = x + ROW.pad + ROW.label;
  for (let i = 0; i < row.cells.length; i++) {
    const cell = { x: left + i * size, y: y + (height - size) / 2, width: size, height: size };
    paintCell(context, palette, row.cells[i] ?? '?', cell, isClaimed);
    const glow = mood.glow(i);
    if (glow > 0) outline(context, cell, palette.focus, 2, glow);
    if (mood.hovered === i) outline(context, cell, palette.text, 1, 0.6);
    if (mood.focused === i) outline(context, cell, palette.focus, 2.5, 1);
  }
  const end = left + row.cells.length * size;
  const taken = row.cells.replaceAll(/[^#ck!]/g, '').length;
  const of = row.cells.replaceAll('-', '').length;
  const fill = isClaimed ? `${taken}/${of}` : '';
  text(context, fill, end + ROW.fill - 4, middle, mono, taken === of ? palette.text : palette.dim, 'right');
  const holder = isClaimed ? holderText(row.holder) : row.cells.includes('?') ? 'cannot be read' : '';
  const font = `12.5px ${palette.fonts.text}`;
  text(
    context,
    holder,
    end + ROW.fill + 8,
    middle,
    font,
    palette.text,
    'left',
    width - (end - x) - ROW.fill - 12,
  );
}

/** Colour and letter tell the same: nobody needs to see colours. */
function paintCell(context: Context, palette: Palette, letter: string, box: Box, isClaimed: boolean): void {
  const state = stateOf(letter);
  const inset = box.width > 10 ? 1.5 : 0.75;
  rounded(
    context,
    box.x + inset,
    box.y + inset,
    box.width - 2 * inset,
    box.height - 2 * inset,
    box.width > 10 ? 3 : 1,
  );
  if (state === 'free' && isClaimed) {
    context.strokeStyle = palette.cells.free;
    context.lineWidth = 1.5;
    context.stroke();
    return;
  }
  context.globalAlpha = state === 'free' ? 0.45 : 1;
  context.fillStyle = palette.cells[state];
  context.fill();
  context.globalAlpha = 1;
  if (state === 'free' || state === 'used' || box.width < LETTER_FROM) return;
  const font = `600 11px ${palette.fonts.mono}`;
  text(context, letter, box.x + box.width / 2, box.y + box.height / 2 + 4, font, palette.onCell, 'center');
}

function outline(context: Context, box: Box, colour: string, width: number, alpha: number): void {
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  rounded(context, box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1, 3);
  context.stroke();
  context.globalAlpha = 1;
}

/** Returns which cell of a row lies at a place of its box; undefined: none. */
export function cellAt(row: Row, x: number): number | undefined {
  const cell = Math.floor((x - ROW.pad - ROW.label) / cellSize(row.cells.length));
  return cell >= 0 && cell < row.cells.length ? cell : undefined;
}
