import type { Paint } from './paint.ts';

const WIDTH = 12;
/** Cells of one to seven eighths. */
const PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** Renders a share as a bar and per cent: yellow from 80 %, red from 95 %. */
export function renderBar(part: number, whole: number, paint: Paint): string {
  const share = whole === 0 ? 0 : part / whole;
  // Any use shows a sliver, and only a full one looks full.
  const eighths = Math.min(
    Math.max(Math.round(share * WIDTH * 8), part > 0 ? 1 : 0),
    part < whole ? WIDTH * 8 - 1 : WIDTH * 8,
  );
  const colour = share >= 0.95 ? paint.red : share >= 0.8 ? paint.yellow : paint.green;
  const bar = '█'.repeat(Math.floor(eighths / 8)) + (PARTS[eighths % 8] ?? '');
  return `${colour(bar)}${paint.dim('░'.repeat(WIDTH - bar.length))} ${percentText(share).padStart(4)}`;
}

/** Rounds, but returns 0 % and 100 % only for exact values. */
function percentText(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 1) return '<1%';
  if (percent > 99 && percent < 100) return '>99%';
  return `${Math.round(percent)}%`;
}

/** Formats a number of addresses or blocks. Those of IPv6 ranges get an order of magnitude. */
export function renderCount(n: number): string {
  return n < 1e9 ? `${n}` : n.toExponential(1).replace('e+', 'e');
}
