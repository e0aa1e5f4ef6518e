/** One file of an archive. */
export interface TarEntry {
  /** Relative. At most 100 bytes, or 255 with a slash before the last 100. */
  readonly name: string;
  readonly content: string;
}

const BLOCK = 512;

/**
 * Returns an archive in the ustar format (POSIX.1-1988, pax(1)): for each file a header of 512
 * bytes and its content padded to whole blocks, then two empty blocks. All are regular files of
 * root with mode 0600.
 * @param modifiedAt milliseconds since 1970
 */
export function makeTar(entries: readonly TarEntry[], modifiedAt: number): Buffer {
  return Buffer.concat([tarFiles(entries, modifiedAt), TAR_END]);
}

/** The end of an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** Returns a part of an archive, to which others may be added before {@link TAR_END}. */
export function tarFiles(entries: readonly TarEntry[], modifiedAt: number): Buffer {
  const parts = entries.flatMap(({ name, content }) => {
    const bytes = Buffer.from(content);
    return [header(name, bytes.length, modifiedAt), bytes, Buffer.alloc(-bytes.length & (BLOCK - 1))];
  });
  return Buffer.concat(parts);
}

const [LONGEST_NAME, LONGEST_PREFIX] = [100, 155];

/** A long name is split at a slash, which itself is not written. */
function splitName(name: string): readonly [name: string, prefix: string] {
  if (Buffer.byteLength(name) <= LONGEST_NAME) return [name, ''];
  for (let at = name.indexOf('/'); at > 0; at = name.indexOf('/', at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(prefix) <= LONGEST_PREFIX && Buffer.byteLength(rest) <= LONGEST_NAME)
      return [rest, prefix];
  }
  throw new Error(`name '${name}' is too long for a tar header: expected at most 100 bytes`);
}

function header(name: string, size: number, modifiedAt: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const [last, prefix] = splitName(name);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(last, 0);
  block.write(octal(0o600, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(Math.floor(modifiedAt / 1000), 11), 136);
  block.write(' '.repeat(8), 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  block.write('root', 265);
  block.write('root', 297);
  block.write(prefix, 345);
  // The sum of all bytes, with spaces in place of the sum itself.
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
