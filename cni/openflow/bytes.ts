/** Writing of OpenFlow messages, which are big-endian and padded to multiples of 8 bytes. Pure. */

const FIRST_SIZE = 4_096;
const LOW_64 = 0xffffffffffffffffn;
/** Of a value of so many bytes: what it must be below. */
const LIMITS = Array.from({ length: 17 }, (_, length) => 1n << BigInt(8 * length));

/** Writes into one buffer, which grows. Every number that has no room is a RangeError. */
export class Writer {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  /** @param size how much there is probably to write */
  constructor(size = FIRST_SIZE) {
    this.#bytes = Buffer.allocUnsafe(size);
    this.#view = viewOf(this.#bytes);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    if (value >>> 0 !== value || value > 0xff) throw tooLarge(value, 1);
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    if (value >>> 0 !== value || value > 0xffff) throw tooLarge(value, 2);
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
  }

  u32(value: number): void {
    if (value >>> 0 !== value) throw tooLarge(value, 4);
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
  }

  u64(value: bigint): void {
    if (value < 0n || value > LOW_64) throw tooLarge(value, 8);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value);
  }

  zeros(count: number): void {
    const at = this.#grow(count);
    // For the few that a message has of them, faster than to fill.
    for (let i = 0; i < count; i++) this.#view.setUint8(at + i, 0);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /**
   * Writes the value in so many bytes: 1, or an even number up to 16.
   * @throws RangeError if it does not fit
   */
  value(value: bigint, length: number): void {
    if (value < 0n || value >= (LIMITS[length] ?? 0n)) throw tooLarge(value, length);
    if (length > 8) this.value(value >> 64n, length - 8);
    if (length >= 8) {
      this.u64(value & LOW_64);
      return;
    }
    const number = Number(value);
    if (length === 6) this.u16(Math.floor(number / 2 ** 32));
    if (length === 1) this.u8(number);
    else if (length === 2) this.u16(number);
    else this.u32(number >>> 0);
  }

  /** Writes a part that has its own length in it, 16 bits at `lengthAt`. */
  part(lengthAt: number, write: () => void): void {
    const start = this.#length;
    write();
    this.setU16(start + lengthAt, this.#length - start);
  }

  /** Writes a part and fills it up to a multiple of 8 bytes. */
  padded(write: () => void): void {
    const start = this.#length;
    write();
    this.zeros((8 - ((this.#length - start) % 8)) % 8);
  }

  /** Writes over 16 bits that were written before. */
  setU16(at: number, value: number): void {
    if (value > 0xffff) throw tooLarge(value, 2);
    this.#view.setUint16(at, value);
  }

  /** Returns what was written, which the caller may keep. The writer is empty then. */
  take(): Buffer {
    const written = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.#view = viewOf(this.#bytes);
    this.#length = 0;
    return written;
  }

  /** Makes room, which may replace the buffer, and returns where it begins. */
  #grow(count: number): number {
    const at = this.#length;
    const end = at + count;
    if (end > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    this.#length = end;
    return at;
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer): DataView => new DataView(buffer, byteOffset, length);

const tooLarge = (value: number | bigint, length: number): RangeError =>
  new RangeError(`value ${value}: expected 0 to 2^${8 * length} - 1`);

/** Returns what the function writes. */
export function written(write: (to: Writer) => void): Buffer {
  const to = new Writer();
  write(to);
  return to.take();
}
