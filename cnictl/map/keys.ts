/** A key of the keyboard: a character, or the name of another key. */
export type Key =
  | { readonly kind: 'character'; readonly character: string }
  | { readonly kind: 'named'; readonly name: KeyName };

export type KeyName =
  | 'up'
  | 'down'
  | 'left'
  | 'right'
  | 'page-up'
  | 'page-down'
  | 'home'
  | 'end'
  | 'enter'
  | 'escape'
  | 'backspace'
  | 'delete-line'
  | 'redraw'
  | 'interrupt'
  | 'suspend';

/** What follows ESC, of xterm, the Linux console, screen, tmux, rxvt and PuTTY. */
const SEQUENCES: Readonly<Record<string, KeyName>> = {
  '[A': 'up',
  '[B': 'down',
  '[C': 'right',
  '[D': 'left',
  OA: 'up',
  OB: 'down',
  OC: 'right',
  OD: 'left',
  '[5~': 'page-up',
  '[6~': 'page-down',
  '[H': 'home',
  OH: 'home',
  '[1~': 'home',
  '[7~': 'home',
  '[F': 'end',
  OF: 'end',
  '[4~': 'end',
  '[8~': 'end',
  OM: 'enter',
};

const CONTROLS: Readonly<Record<string, KeyName>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'interrupt',
  '\u0004': 'interrupt',
  '\u001a': 'suspend',
  '\u000c': 'redraw',
  '\u0015': 'delete-line',
  '\u0002': 'page-up',
  '\u0006': 'page-down',
  '\u0010': 'up',
  '\u000e': 'down',
};

const ESC = '\u001b';
/** A control sequence: parameters, intermediate bytes, and its last byte (ECMA-48 section 5.4). */
const COMPLETE = /^(?:\[[0-?]*[ -/]*[@-~]|O[ -~])/;
const BEGUN = /^(?:\[[0-?]*[ -/]*|O)?$/;

/**
 * Turns what a terminal sends into keys. Sequences that it does not know count for nothing.
 * @returns also the beginning of a sequence whose rest has not come yet. After a moment of silence
 *   it was the key Esc: {@link keysOfRest}.
 */
export function keysOf(input: string): { readonly keys: Key[]; readonly rest: string } {
  const keys: Key[] = [];
  let text = input;
  while (text !== '') {
    if (text.startsWith(ESC)) {
      const after = text.slice(1);
      if (BEGUN.test(after)) return { keys, rest: text };
      const [sequence] = COMPLETE.exec(after) ?? [];
      if (sequence === undefined) {
        keys.push(named('escape'));
        text = after;
        continue;
      }
      const name = SEQUENCES[sequence];
      if (name !== undefined) keys.push(named(name));
      text = after.slice(sequence.length);
      continue;
    }
    const [character = ''] = text;
    text = text.slice(character.length);
    const name = CONTROLS[character];
    if (name !== undefined) keys.push(named(name));
    else if (!/\p{Cc}/u.test(character)) keys.push({ kind: 'character', character });
  }
  return { keys, rest: '' };
}

/** Returns the keys of a sequence that did not go on: Esc, and what followed it. */
export function keysOfRest(rest: string): Key[] {
  if (rest === '') return [];
  return [named('escape'), ...keysOf(rest.slice(1)).keys];
}

const named = (name: KeyName): Key => ({ kind: 'named', name });
