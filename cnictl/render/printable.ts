/** Control characters (C0, DEL, C1), and characters that change the text direction. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}]/gu;

/**
 * Makes foreign text safe for a terminal, in one line: escapes control characters as in JSON, such
 * as `\u001b` and `\n`.
 */
export function printable(text: string): string {
  return text.replace(UNSEEN, escapeCharacter);
}

/** Returns whether {@link printable} leaves the text as it is. */
export const isPrintable = (text: string): boolean => text.search(UNSEEN) === -1;

/** Does the same for several lines, and keeps their line ends. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** Returns to the start of the line and clears it. */
export const CLEAR_LINE = '\r\u001b[K';
/** The colours of {@link makePaint}. */
const COLOUR = /(\u001b\[(?:0|1|2|31|32|33)m)/;

export interface Screen {
  /** Whether cnictl writes colours there. */
  readonly colours: boolean;
  /** Whether cnictl moves a line there: it clears it first. */
  readonly clears: boolean;
}

/**
 * Escapes all that cnictl itself does not write: the last guard before a terminal. A colour in a
 * foreign name gets past it where colours are allowed, so names are escaped where they are
 * inserted.
 */
export function safeFor({ colours, clears }: Screen, text: string): string {
  if (clears && text.startsWith(CLEAR_LINE))
    return CLEAR_LINE + safeFor({ colours, clears }, text.slice(CLEAR_LINE.length));
  if (!colours) return printableText(text);
  return text
    .split(COLOUR)
    .map((part, i) => (i % 2 === 1 ? part : printableText(part)))
    .join('');
}

/** A tab is harmless: `-o jsonpath` has those of its template. */
const printableText = (text: string): string => text.split('\t').map(printableLines).join('\t');

/** JSON does not escape DEL, C1 and direction marks. */
function escapeCharacter(character: string): string {
  const inJson = JSON.stringify(character).slice(1, -1);
  if (inJson !== character) return inJson;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
