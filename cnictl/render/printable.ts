/** Control characters (C0, DEL, C1), and those that turn the direction of what follows. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}]/gu;

/** Text from outside as one line that a terminal only shows: control characters as in JSON, such as `\u001b` and `\n`. */
export function printable(text: string): string {
  return text.replace(UNSEEN, escapeCharacter);
}

/** The same for text of several lines, whose ends stay. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** JSON leaves DEL, C1 and marks of direction as they are. */
function escapeCharacter(character: string): string {
  const inJson = JSON.stringify(character).slice(1, -1);
  if (inJson !== character) return inJson;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
