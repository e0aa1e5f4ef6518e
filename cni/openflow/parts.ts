/** Reading of lists whose entries carry their own length. Pure. */

/**
 * Splits a list into its entries. Each has its length, 16 bits, at `lengthAt`; padding to a
 * multiple of 8 bytes may follow it.
 * @throws RangeError for an entry that is longer than the list
 */
export function parts(list: Buffer, lengthAt: number): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < list.length;) {
    const length = list.readUInt16BE(at + lengthAt);
    if (length < lengthAt + 2 || at + length > list.length)
      throw new RangeError(`an entry of ${length} bytes: expected ${lengthAt + 2} to ${list.length - at}`);
    found.push(list.subarray(at, at + length));
    at += padded(length);
  }
  return found;
}

/** Returns the length with the padding to a multiple of 8 bytes. */
export const padded = (length: number): number => Math.ceil(length / 8) * 8;
