/** The parts of a manual page, in roff with the macros of man(7). */

/** Escapes what roff would take for its own. */
const escape = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll("'", '\\(aq')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga');

/** Longest line of the source, in characters. */
const WIDTH = 80;

/** Text in lines that are not too long. A dot at the beginning of one would be a request. */
function line(text: string): string {
  const lines = [''];
  for (const word of escape(text).split(/\s+/)) {
    const last = lines.at(-1) ?? '';
    if (last === '') lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((each) => each.replace(/^\./, '\\&.')).join('\n');
}

const quoted = (text: string): string => `"${escape(text).replaceAll('"', '\\(dq')}"`;

export const title = (name: string, version: string, date: string): string =>
  `.TH ${quoted(name.toUpperCase())} 1 "${date}" ${quoted(`cellnet ${version}`)} ${quoted('cellnet')}\n`;
export const section = (name: string): string => `.SH ${quoted(name)}\n`;
export const subsection = (name: string): string => `.SS ${quoted(name)}\n`;
export const text = (words: string): string => `${line(words)}\n`;
export const paragraph = (words: string): string => `.PP\n${line(words)}\n`;
/** A term, with what it means indented below it. */
export const item = (term: string, meaning: string): string => `.TP\n.B ${quoted(term)}\n${line(meaning)}\n`;
/** Lines that are kept as they are. */
export const verbatim = (lines: readonly string[]): string =>
  `.RS 4\n.nf\n${lines.map((each) => escape(each).replace(/^\./, '\\&.')).join('\n')}\n.fi\n.RE\n`;
