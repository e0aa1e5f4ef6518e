/**
 * Draws a recording as an SVG that moves: the lines scroll through a window by CSS alone, so it
 * plays in an <img>. Where motion is not wanted, it stands still at the end.
 */
import { type Cast } from './cast.ts';

const CHARACTER = 7.2;
const LINE = 16;
const MARGIN = 14;
/** A pause is never longer, in seconds, and the last picture stands so long. */
const LONGEST_PAUSE = 1.2;
const LAST = 6;

/** Colours of a dark terminal. */
const STYLE = `
  text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #e6edf3; white-space: pre }
  .b { font-weight: 700 }
  .d { fill: #9198a1 }
  .r { fill: #ff7b72 }
  .g { fill: #3fb950 }
  .c { fill: #39c5cf }`;

const CLASSES: Readonly<Record<string, string>> = { 1: 'b', 2: 'd', 31: 'r', 32: 'g', 36: 'c' };

/** A piece of a line in one style. */
export interface Span {
  readonly classes: string;
  readonly text: string;
}

/** Splits a line at its SGR sequences (ECMA-48, 8.3.117). Other attributes are left out. */
export function spansOf(line: string): Span[] {
  const spans: Span[] = [];
  let classes: string[] = [];
  // Every second part is the number of a sequence.

  for (const [n, part] of line.split(/\u001b\[(\d*)m/).entries()) {
    if (n % 2 === 0) {
      if (part !== '') spans.push({ classes: classes.join(' '), text: part });
    } else {
      const style = CLASSES[part];
      classes = style === undefined ? [] : [...classes, style];
    }
  }
  return spans;
}

interface Line {
  readonly text: string;
  /** When it is complete, in seconds, with shortened pauses. */
  readonly at: number;
}

function linesOf({ header, outputs }: Cast): Line[] {
  const lines: Line[] = [];
  let open = '';
  let at = 0;
  let before = 0;
  for (const { seconds, text } of outputs) {
    at += Math.min(seconds - before, LONGEST_PAUSE);
    before = seconds;
    const parts = (open + text).split('\r\n');
    open = parts.pop() ?? '';
    for (const part of parts) lines.push({ text: cut(part, header.width), at });
  }
  return open === '' ? lines : [...lines, { text: cut(open, header.width), at }];
}

/** Cuts what is beyond the window, with an ellipsis, and counts no sequence as a character. */
function cut(line: string, width: number): string {
  if (line.replaceAll(/\u001b\[\d*m/g, '').length <= width) return line;
  let room = width - 1;
  const beginning = line.replaceAll(/(\u001b\[\d*m)|([^\u001b]+)/g, (_all, sequence?: string, text = '') => {
    if (sequence !== undefined) return sequence;
    const kept = String(text).slice(0, room);
    room -= kept.length;
    return kept;
  });
  return `${beginning}…`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const drawn = (line: string): string =>
  spansOf(line)
    .map(({ classes, text }) =>
      classes === '' ? escaped(text) : `<tspan class="${classes}">${escaped(text)}</tspan>`,
    )
    .join('');

/** The stops of the animation: how far the lines have moved at each moment, in per cent. */
function stops(lines: readonly Line[], rows: number, total: number): string[] {
  const shift = (shown: number): string => `transform: translateY(${(rows - shown) * LINE}px)`;
  const moments = new Map(lines.map(({ at }, n) => [((at / total) * 100).toFixed(2), n + 1]));
  const first = moments.has('0.00') ? [] : [`0% { ${shift(0)} }`];
  const last = `100% { ${shift(lines.length)} }`;
  return [...first, ...[...moments].map(([percent, shown]) => `${percent}% { ${shift(shown)} }`), last];
}

export function castToSvg(cast: Cast): string {
  const lines = linesOf(cast);
  const rows = cast.header.height;
  const total = (lines.at(-1)?.at ?? 0) + LAST;
  const width = Math.ceil(cast.header.width * CHARACTER + 2 * MARGIN);
  const height = rows * LINE + 2 * MARGIN;
  const end = `translateY(${(rows - lines.length) * LINE}px)`;
  const texts = lines.flatMap(({ text }, n) =>
    text === ''
      ? []
      : [`<text x="${MARGIN}" y="${n * LINE + 12}" xml:space="preserve">${drawn(text)}</text>`],
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">${escaped(cast.header.title)}</title>
<style>${STYLE}
  @keyframes play {
    ${stops(lines, rows, total).join('\n    ')}
  }
  .lines { animation: play ${total.toFixed(1)}s step-end infinite }
  @media (prefers-reduced-motion: reduce) { .lines { animation: none; transform: ${end} } }
</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<svg x="0" y="${MARGIN}" width="${width}" height="${rows * LINE}">
<g class="lines">
${texts.join('\n')}
</g>
</svg>
</svg>
`;
}
