import { OvsdbError } from './errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = [0x7b, 0x5b];
const CLOSE = [0x7d, 0x5d];

/** Longest accepted value, in bytes: a faulty server must not fill our memory. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Cuts a stream of JSON values without separators (RFC 7047 section 4: JSON-RPC 1.0 over a stream)
 * into the texts of single values. Works on bytes and looks at each byte once, so a chunk may end
 * within a UTF-8 character.
 */
export class JsonFraming {
  #parts: Buffer[] = [];
  #bytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /**
   * Returns the values that the chunk completes.
   * @throws OvsdbError `protocol` when an unfinished value is too long
   */
  push(chunk: Buffer): string[] {
    const values: string[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#inString) this.#passString(byte);
      else if (byte === QUOTE) this.#inString = true;
      else if (OPEN.includes(byte)) this.#depth++;
      else if (CLOSE.includes(byte) && --this.#depth === 0) {
        this.#parts.push(chunk.subarray(start, at + 1));
        values.push(Buffer.concat(this.#parts).toString('utf8'));
        this.#parts = [];
        this.#bytes = 0;
        start = at + 1;
      }
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return values;
  }

  #passString(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = false;
  }

  #keep(rest: Buffer): void {
    this.#parts.push(rest);
    this.#bytes += rest.length;
    if (this.#bytes > MAX_BYTES)
      throw new OvsdbError('protocol', `a message of more than ${MAX_BYTES} bytes came`);
  }
}
