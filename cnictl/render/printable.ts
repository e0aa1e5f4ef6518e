/** Control characters (C0, DEL, C1), and characters that change the text direction. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}]/gu;

/**
 * Makes foreign text safe for a terminal, in one line: escapes control characters as in JSON, such
 * as `\u001b` and `\n`.
 */
export function printable(text: string): string {
  return text.replace(UNSEEN, escapeCharacter);
}

/** Does the same for several lines, and keeps their line ends. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** JSON does not escape DEL, C1 and direction marks. */
function escapeCharacter(character: string): string {
  const inJson = JSON.stringify(character).slice(1, -1);
  if (inJson !== character) return inJson;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
