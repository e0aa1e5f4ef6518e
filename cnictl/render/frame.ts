import { printable } from './printable.ts';

/** How a piece of a line looks. Without colours, text and letters tell the same. */
export type Style =
  'plain' | 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'blue' | 'cyan' | 'magenta' | 'title';

/** A part of a line in one style. Its text may be foreign: it is made safe when it is drawn. */
export interface Piece {
  readonly text: string;
  readonly style?: Style;
  /** Foreground and background change places: the cursor, also without colours. */
  readonly inverse?: boolean;
}

export type Line = readonly Piece[];

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const SGR: Readonly<Record<Style, string>> = {
  plain: '',
  bold: '1',
  dim: '2',
  green: '32',
  yellow: '33',
  red: '1;31',
  blue: '34',
  cyan: '36',
  magenta: '35',
  title: '1',
};
/** What stays without colours. */
const COLOURLESS: ReadonlySet<Style> = new Set(['bold', 'title']);

const RESET = '\u001b[0m';
/**
 * Characters that every terminal draws in one column: Latin letters, general punctuation, arrows,
 * and the blocks of bars. Of all others the width is not sure, and one wrong width shifts a line.
 */
const ONE_COLUMN = /^[\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027\u2190-\u2193\u2500-\u259f]$/;

/** Makes foreign text safe for a screen: in one line, each character one column wide. */
export function oneColumnEach(text: string): string {
  return Array.from(printable(text), (character) => (ONE_COLUMN.test(character) ? character : '?')).join('');
}

/** Cuts a text to a width. A cut shows as `…`. */
export function cutTo(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return width <= 0 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

/** Cuts a text to a width, or fills it up. */
export function fit(text: string, width: number, right = false): string {
  const cut = cutTo(oneColumnEach(text), width);
  const space = ' '.repeat(Math.max(0, width - Array.from(cut).length));
  return right ? space + cut : cut + space;
}

/** A line as plain text: for tests, and for what is printed. */
export const lineText = (line: Line): string =>
  line
    .map(({ text }) => oneColumnEach(text))
    .join('')
    .trimEnd();

/** Returns what draws a line, at most so many columns wide, and how many of them it fills. */
export function drawLine(line: Line, columns: number, colours: boolean): { text: string; width: number } {
  let text = '';
  let width = 0;
  for (const piece of line) {
    const shown = Array.from(oneColumnEach(piece.text))
      .slice(0, columns - width)
      .join('');
    if (shown === '') continue;
    width += shown.length;
    const code = sgrOf(piece, colours);
    text += code === '' ? shown : `\u001b[${code}m${shown}${RESET}`;
  }
  return { text, width };
}

function sgrOf({ style = 'plain', inverse }: Piece, colours: boolean): string {
  const code = colours || COLOURLESS.has(style) ? SGR[style] : '';
  return [code, inverse ? '7' : ''].filter((each) => each !== '').join(';');
}

/** What stands on a terminal: each row as it was drawn, for this size. */
export interface Drawn {
  readonly size: Size;
  readonly rows: readonly string[];
}

/**
 * Returns what changes a terminal from one screen to the next: only rows that differ, so that
 * little goes over a slow line and nothing flickers.
 * @param before undefined: nothing is known of what stands there
 */
export function redraw(
  before: Drawn | undefined,
  lines: readonly Line[],
  size: Size,
  colours: boolean,
): { readonly drawn: Drawn; readonly text: string } {
  const isSame = before?.size.columns === size.columns && before.size.rows === size.rows;
  const rows: string[] = [];
  let text = isSame ? '' : `${RESET}\u001b[2J`;
  for (let row = 0; row < size.rows; row++) {
    const { text: drawn, width } = drawLine(lines[row] ?? [], size.columns, colours);
    // At the last column, the clearing of the rest would take the last character away.
    const whole = width < size.columns ? `${drawn}\u001b[K` : drawn;
    rows.push(whole);
    if (isSame ? before.rows[row] !== whole : width > 0) text += `\u001b[${row + 1};1H${whole}`;
  }
  return { drawn: { size, rows }, text };
}
