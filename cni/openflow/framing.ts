import { HEADER_BYTES, type Message } from './header.ts';

/**
 * Splits the bytes of a connection into messages, wherever its chunks end. It keeps less than one
 * message, which is at most 64 kB.
 */
export class MessageFraming {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws RangeError for a message that says it is shorter than its header */
  *push(chunk: Buffer): Generator<Message> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes.readUInt16BE(at + 2);
      if (length < HEADER_BYTES)
        throw new RangeError(`a message of ${length} bytes: expected ${HEADER_BYTES} or more`);
      if (bytes.length - at < length) break;
      yield {
        version: bytes.readUInt8(at),
        type: bytes.readUInt8(at + 1),
        xid: bytes.readUInt32BE(at + 4),
        body: bytes.subarray(at + HEADER_BYTES, at + length),
      };
      at += length;
    }
    this.#rest = bytes.subarray(at);
  }
}
