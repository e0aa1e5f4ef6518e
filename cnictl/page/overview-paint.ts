import type { Box } from './grid.ts';
import type { RangeInfo } from './model.ts';
import { fillOf, severityOf } from './order.ts';
import type { Palette } from './palette.ts';
import { fullText, percentText } from './time.ts';

export const TILE = { minWidth: 232, height: 74, gap: 8 } as const;
const PAD = 10;

export interface TileMood {
  readonly isFocused: boolean;
  readonly isHovered: boolean;
  /** From 1, just changed, to 0. */
  readonly glow: number;
  readonly nowMs: number;
}

type Context = CanvasRenderingContext2D;

/** A range: its name, how full it is, and all its blocks in little. */
export function paintTile(
  context: Context,
  palette: Palette,
  range: RangeInfo,
  { x, y, width, height }: Box,
  { isFocused, isHovered, glow, nowMs }: TileMood,
): void {
  rounded(context, x + 0.5, y + 0.5, width - 1, height - 1, 6);
  context.fillStyle = isHovered ? palette.hover : palette.surface;
  context.fill();
  context.strokeStyle = isFocused ? palette.focus : palette.line;
  context.lineWidth = isFocused ? 2 : 1;
  context.stroke();
  if (glow > 0) {
    context.globalAlpha = glow;
    context.strokeStyle = palette.focus;
    context.lineWidth = 1.5;
    context.stroke();
    context.globalAlpha = 1;
  }
  const severity = severityOf(range);
  const strong = severity === undefined ? palette.text : palette[severity];
  const right = x + width - PAD;
  const percent = percentText(Math.round(fillOf(range) * 1e6), 1e6);
  text(context, percent, right, y + 19, `600 13px ${palette.fonts.text}`, strong, 'right');
  const room = width - 2 * PAD - 52;
  text(context, range.name, x + PAD, y + 19, `600 13px ${palette.fonts.text}`, palette.text, 'left', room);
  // The range itself tells whether addresses or blocks end.
  const full = (fullText(range.forecast, nowMs) ?? '').replace(/^blocks /, '');
  const small = `11.5px ${palette.fonts.text}`;
  const fullWidth = full === '' ? 0 : widthOf(context, full, small) + 8;
  const mono = `11.5px ${palette.fonts.mono}`;
  const aboutRoom = width - 2 * PAD - fullWidth;
  text(
    context,
    aboutText(context, range, mono, aboutRoom),
    x + PAD,
    y + 36,
    mono,
    palette.dim,
    'left',
    aboutRoom,
  );
  if (full !== '') text(context, full, right, y + 36, small, palette.dim, 'right');
  paintStrip(context, palette, range.strip, {
    x: x + PAD,
    y: y + 45,
    width: width - 2 * PAD,
    height: height - 45 - PAD,
  });
}

/** As much of subnet, state and VLAN as there is room for, in this order. */
function aboutText(context: Context, { cidr, state, vlan }: RangeInfo, font: string, room: number): string {
  const more = [state === 'draining' ? 'draining' : '', vlan === null ? '' : `vlan ${vlan}`];
  return more.reduce((about, part) => {
    const longer = `${about} · ${part}`;
    return part === '' || widthOf(context, longer, font) > room ? about : longer;
  }, cidr);
}

function widthOf(context: Context, words: string, font: string): number {
  context.font = font;
  return context.measureText(words).width;
}

/** Two lines of blocks. */
function paintStrip(context: Context, palette: Palette, strip: string, { x, y, width, height }: Box): void {
  const lines = strip.length > 20 ? 2 : 1;
  const perLine = Math.ceil(strip.length / lines);
  const step = Math.min(width / perLine, 2 * height);
  const line = height / lines;
  const gap = step > 3 ? 1 : 0;
  for (let i = 0; i < strip.length; i++) {
    const left = x + (i % perLine) * step;
    const top = y + Math.floor(i / perLine) * line;
    context.fillStyle = stripColour(palette, strip[i] ?? '.');
    context.fillRect(left, top, step - gap, line - 1.5);
  }
}

function stripColour(palette: Palette, letter: string): string {
  if (letter === '.') return palette.cells.free;
  if (letter === '!') return palette.cells.conflict;
  if (letter === '?') return palette.cells.unknown;
  const step = letter === 'f' ? palette.heat.length - 1 : Number(letter);
  return palette.heat[step] ?? palette.cells.used;
}

export function rounded(
  context: Context,
  x: number,
  y: number,
  width: number,
  height: number,
  radius: number,
): void {
  context.beginPath();
  context.roundRect(x, y, width, height, radius);
}

/** Writes a text, cut off where it is wider than its room. */
export function text(
  context: Context,
  content: string,
  x: number,
  y: number,
  font: string,
  colour: string,
  align: CanvasTextAlign = 'left',
  room = Infinity,
): void {
  context.font = font;
  context.fillStyle = colour;
  context.textAlign = align;
  let shown = content;
  if (room !== Infinity && context.measureText(content).width > room) {
    let length = content.length;
    while (length > 1 && context.measureText(`${content.slice(0, length)}…`).width > room) length -= 1;
    shown = `${content.slice(0, length)}…`;
  }
  context.fillText(shown, x, y);
}
