/** Bytes of OpenFlow messages, which are big-endian and padded to multiples of 8. Pure. */

export const u8 = (value: number): Buffer => Buffer.of(value);

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

export const zeros = (count: number): Buffer => Buffer.alloc(count);

/**
 * Returns the value in so many bytes.
 * @throws RangeError if it does not fit
 */
export function bytesOf(value: bigint, length: number): Buffer {
  if (value < 0n || value >= 1n << BigInt(8 * length))
    throw new RangeError(`value ${value}: expected 0 to 2^${8 * length} - 1`);
  return Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex');
}

/** Joins the parts and fills them up to a multiple of 8 bytes. */
export function padded(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes, zeros((8 - (bytes.length % 8)) % 8)]);
}

/** Fills in a length of 16 bits, that of all the bytes, at the place. */
export function withLength(bytes: Buffer, at: number): Buffer {
  bytes.writeUInt16BE(bytes.length, at);
  return bytes;
}
