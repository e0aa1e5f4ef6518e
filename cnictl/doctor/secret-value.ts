/** The value of a setting in a text, and the quotes that must stay around what replaces it. */
export interface FoundValue {
  readonly end: number;
  readonly before: string;
  readonly after: string;
}

/** Values that tell nothing, and that JSON knows by themselves. */
const HARMLESS = /(?:true|false|null)(?![\w.-])/y;
const OPENING = /(\\*)(["'])/y;
const BARE = /[^\s,;}&]+/y;
const BARE_IN_JSON = /[^\s,}\]\\]+/y;
const BLOCK_SCALAR = /[|>][+-]?\d?[ \t]*\n/y;

const matchAt = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at;
  return pattern.exec(text);
};

/**
 * Finds the value that begins at a place. Each kind of value is read once, to its end.
 * @param between what stands between name and value: with a quote, the text is JSON
 * @param unclosed quotes that no later place of this text closes: they are looked for once
 * @returns undefined where there is none, or it is no secret
 */
export function valueAt(
  text: string,
  at: number,
  between: string,
  unclosed: Set<string>,
): FoundValue | undefined {
  if (matchAt(HARMLESS, text, at)) return undefined;
  const opening = matchAt(OPENING, text, at);
  if (opening) return quotedAt(text, at, opening[0], unclosed);
  const [, escape = '', quote = ''] = /^(\\*)(["'])/.exec(between) ?? [];
  const mark = `${escape}${quote}`;
  if (quote !== '' && (text[at] === '{' || text[at] === '['))
    return { end: endOfStructure(text, at, escape.length), before: mark, after: mark };
  const block = matchAt(BLOCK_SCALAR, text, at);
  if (block) return { end: endOfBlock(text, at, at + block[0].length), before: '', after: '' };
  const bare = matchAt(quote === '' ? BARE : BARE_IN_JSON, text, at);
  return bare ? { end: at + bare[0].length, before: mark, after: mark } : undefined;
}

/** @param mark the quote, after as many backslashes as the text around it is nested in strings */
function quotedAt(text: string, at: number, mark: string, unclosed: Set<string>): FoundValue | undefined {
  const start = at + mark.length;
  const close = unclosed.has(mark) ? -1 : closingOf(text, start, mark);
  if (close === -1) unclosed.add(mark);
  if (close === start) return undefined;
  if (close !== -1) return { end: close + mark.length, before: mark, after: mark };
  const line = text.indexOf('\n', start);
  return { end: line === -1 ? text.length : line, before: mark, after: '' };
}

/** A quote after another number of backslashes belongs to the value. */
function closingOf(text: string, start: number, mark: string): number {
  const backslashes = mark.length - 1;
  const quote = mark.slice(-1);
  for (let at = text.indexOf(quote, start); at !== -1; at = text.indexOf(quote, at + 1)) {
    let first = at;
    while (first > start && text[first - 1] === '\\') first--;
    const count = at - first;
    if (quote === "'" ? count >= backslashes : closes(count, backslashes)) return at - backslashes;
  }
  return -1;
}

/**
 * In a string that is nested so deep, one backslash more than that many escapes the quote; twice
 * as many and that many are a backslash at the value's end, and the closing quote.
 */
const closes = (count: number, backslashes: number): boolean =>
  count === backslashes || (count > backslashes && (count - backslashes) % (2 * (backslashes + 1)) === 0);

/**
 * The end of an object or array of JSON; the end of the text where it is cut off.
 * @param backslashes before each quote, by how deep the JSON is nested in strings
 */
function endOfStructure(text: string, at: number, backslashes: number): number {
  let depth = 0;
  let isInString = false;
  for (let i = at; i < text.length; i++) {
    const run = i;
    while (text[i] === '\\') i++;
    const count = i - run;
    const character = text[i];
    if (character === '"') {
      if (isInString ? closes(count, backslashes) : count === backslashes) isInString = !isInString;
    } else if (isInString) continue;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}

/** A block scalar of YAML has all lines below it that are indented more than its own. */
function endOfBlock(text: string, at: number, start: number): number {
  const indent = /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', at) + 1, at))?.[0].length ?? 0;
  let end = start;
  while (end < text.length) {
    const next = text.indexOf('\n', end);
    const line = text.slice(end, next === -1 ? text.length : next);
    if (line.trim() !== '' && (/^[ \t]*/.exec(line)?.[0].length ?? 0) <= indent) return end - 1;
    end = next === -1 ? text.length : next + 1;
  }
  return end;
}
