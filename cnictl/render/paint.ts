/** Colours for a terminal. Elsewhere, the text stays unchanged. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly green: (text: string) => string;
}

const sgr =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;
const plain = (text: string): string => text;

/** @param colourful true on a terminal, unless NO_COLOR is set (no-color.org) */
export function makePaint(colourful: boolean): Paint {
  if (!colourful) return { bold: plain, dim: plain, red: plain, yellow: plain, green: plain };
  return { bold: sgr(1), dim: sgr(2), red: sgr(31), yellow: sgr(33), green: sgr(32) };
}

/** Returns the width on screen. Escape sequences have none. */
export function widthOf(text: string): number {
  return Array.from(text.replace(/\u001b\[\d+m/g, '')).length;
}
