import { STATES, type CellState } from './model.ts';

/** The colours of page.css, for canvases. */
export interface Palette {
  readonly text: string;
  readonly dim: string;
  readonly line: string;
  readonly surface: string;
  readonly hover: string;
  readonly focus: string;
  readonly warn: string;
  readonly bad: string;
  readonly onCell: string;
  readonly cells: Readonly<Record<CellState, string>>;
  /** From little to all taken. */
  readonly heat: readonly string[];
  readonly fonts: { readonly text: string; readonly mono: string };
}

const HEAT_STEPS = 11;

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const cells = Object.fromEntries(STATES.map(({ state }) => [state, read(`cell-${state}`)]));
  const [low, high] = [read('heat-low'), read('heat-high')];
  return {
    ...{ text: read('text'), dim: read('dim'), line: read('line'), surface: read('surface') },
    ...{ hover: read('hover'), focus: read('focus'), warn: read('warn'), bad: read('bad') },
    onCell: read('on-cell'),
    cells: cells as Record<CellState, string>,
    heat: Array.from({ length: HEAT_STEPS }, (_, i) => mixed(low, high, i / (HEAT_STEPS - 1))),
    fonts: { text: read('font'), mono: read('mono') },
  };
}

/** Mixes two colours of the form #rrggbb. */
function mixed(from: string, to: string, part: number): string {
  const channel = (text: string, i: number): number => Number.parseInt(text.slice(1 + 2 * i, 3 + 2 * i), 16);
  const values = [0, 1, 2].map((i) => Math.round(channel(from, i) * (1 - part) + channel(to, i) * part));
  return `rgb(${values.join(' ')})`;
}
