/** In bytes. etcd takes objects of 1.5 MB, and a watch's line holds one object. */
export const LONGEST_LINE = 4_000_000;

const NEWLINE = 0x0a;

/**
 * Splits a stream of bytes into lines. A chunk may end anywhere, also within a character, because
 * a line becomes text only when it is whole.
 */
export class JsonLines {
  readonly #longest: number;
  #pending: Buffer[] = [];
  #length = 0;

  constructor(longest = LONGEST_LINE) {
    this.#longest = longest;
  }

  /**
   * Returns the lines that the chunk completes, without blank ones.
   * @throws Error when a line is longer than the bound
   */
  *add(chunk: Buffer): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      start = end + 1;
      const line = this.#take();
      if (line.trim() !== '') yield line;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#longest) throw new Error(`a line has more than ${this.#longest} bytes`);
    this.#pending.push(part);
  }

  #take(): string {
    const line = Buffer.concat(this.#pending, this.#length).toString('utf8');
    this.#pending = [];
    this.#length = 0;
    return line;
  }
}
