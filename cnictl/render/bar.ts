import type { Paint } from './paint.ts';

const WIDTH = 12;
/** Cells of one to seven eighths. */
const PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** How full something is, as a bar and per cent: yellow from 80 %, red from 95 %. */
export function renderBar(part: number, whole: number, paint: Paint): string {
  const share = whole === 0 ? 0 : part / whole;
  // A sliver shows that it is not empty, and only what is full looks full.
  const eighths = Math.min(
    Math.max(Math.round(share * WIDTH * 8), part > 0 ? 1 : 0),
    part < whole ? WIDTH * 8 - 1 : WIDTH * 8,
  );
  const colour = share >= 0.95 ? paint.red : share >= 0.8 ? paint.yellow : paint.green;
  const bar = '█'.repeat(Math.floor(eighths / 8)) + (PARTS[eighths % 8] ?? '');
  return `${colour(bar)}${paint.dim('░'.repeat(WIDTH - bar.length))} ${percentText(share).padStart(4)}`;
}

/** Rounded, but 0 % and 100 % only where that is exact. */
function percentText(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 1) return '<1%';
  if (percent > 99 && percent < 100) return '>99%';
  return `${Math.round(percent)}%`;
}

/** A number of addresses or blocks; those of IPv6 ranges are told by their size only. */
export function renderCount(n: number): string {
  return n < 1e9 ? `${n}` : n.toExponential(1).replace('e+', 'e');
}
