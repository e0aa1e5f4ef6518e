/** Thrown for an expression of another form. The caller makes it its own error. */
export class JsonPathError extends Error {
  readonly at: number;

  /** @param at index of the character in the template */
  constructor(message: string, at: number) {
    super(message);
    this.name = 'JsonPathError';
    this.at = at;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

/** Reads a JSONPath template from left to right. */
export class JsonPathScanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get at(): number {
    return this.#at;
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  /** The next character; '' at the end. */
  get peek(): string {
    return this.#text[this.#at] ?? '';
  }

  error(expected: string): JsonPathError {
    const found = this.ended ? 'the end' : `'${this.#text.slice(this.#at, this.#at + 12)}'`;
    return new JsonPathError(`expected ${expected}, found ${found}`, this.#at);
  }

  skipSpace(): void {
    while (/\s/.test(this.peek)) this.#at += 1;
  }

  take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) throw this.error(`'${text}'`);
  }

  /** Takes the character after spaces. */
  close(text: string): void {
    this.skipSpace();
    this.expect(text);
  }

  /** Takes the word unless it goes on, as `range` of `ranges`. */
  takeWord(word: string): boolean {
    const next = this.#text[this.#at + word.length] ?? '';
    return !/[\w.[]/.test(next) && this.take(word);
  }

  takeUntil(end: string): string {
    const found = this.#text.indexOf(end, this.#at);
    return this.#slice(found < 0 ? this.#text.length : found);
  }

  /** Takes a name behind a dot. A backslash before a dot makes it a part of the name. */
  takeName(): string | undefined {
    const [raw = ''] = /^(?:\\.|[\w\-/:])+/u.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += raw.length;
    return raw === '' ? undefined : raw.replaceAll(/\\(.)/gu, '$1');
  }

  /** Takes a text in single or double quotes. */
  takeQuoted(): string | undefined {
    const quote = this.peek;
    if (quote !== '"' && quote !== "'") return undefined;
    const begin = this.#at;
    let text = '';
    for (this.#at += 1; !this.ended; this.#at += 1) {
      if (this.take(quote)) return text;
      if (this.peek === '\\') this.#at += 1;
      const escaped = this.#text[this.#at - 1] === '\\' ? ESCAPES[this.peek] : undefined;
      text += escaped ?? this.peek;
    }
    throw new JsonPathError(`expected ${quote} at the end of the text that begins here`, begin);
  }

  takeInteger(): number | undefined {
    return this.#number(/^-?\d{1,9}/);
  }

  takeNumber(): number | undefined {
    return this.#number(/^-?\d{1,15}(?:\.\d+)?/);
  }

  #number(pattern: RegExp): number | undefined {
    const [text] = pattern.exec(this.#text.slice(this.#at)) ?? [];
    if (text === undefined) return undefined;
    this.#at += text.length;
    return Number(text);
  }

  #slice(end: number): string {
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    return text;
  }
}
