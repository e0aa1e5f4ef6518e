/** Colours for a terminal. Elsewhere, the text stays unchanged. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly green: (text: string) => string;
  /** How tables are laid out. */
  readonly layout: Layout;
}

export interface Layout {
  /** Whether tables have titles. */
  readonly headers: boolean;
  /** `-o wide`: with the columns that few need. */
  readonly isWide: boolean;
  /** Of the terminal: tables leave columns out to fit. Absent elsewhere: nothing is left out. */
  readonly width?: number;
}

const USUAL: Layout = { headers: true, isWide: false };

const sgr =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;
const plain = (text: string): string => text;

/** @param colourful true on a terminal, unless NO_COLOR is set (no-color.org) */
export function makePaint(colourful: boolean, layout: Layout = USUAL): Paint {
  if (!colourful) return { bold: plain, dim: plain, red: plain, yellow: plain, green: plain, layout };
  return { bold: sgr(1), dim: sgr(2), red: sgr(31), yellow: sgr(33), green: sgr(32), layout };
}

/** Returns the width on screen. Escape sequences have none. */
export function widthOf(text: string): number {
  return Array.from(plainText(text)).length;
}

/** Returns the text without colours. */
export const plainText = (text: string): string => text.replace(/\u001b\[\d+m/g, '');
