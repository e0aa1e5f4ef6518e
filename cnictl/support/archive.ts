import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { TAR_END, tarFiles, type TarEntry } from '../doctor/tar.ts';

/** The folder that everything in the archive is in. */
const TOP = 'cellnet-support';

/**
 * An archive (tar.gz) that grows part by part. Each part is compressed when it is added, as a
 * member of its own (RFC 1952 section 2.2), so that a thousand nodes take the memory of the archive
 * and not of their texts.
 */
export class Archive {
  readonly #modifiedAt: number;
  readonly #members: Uint8Array[] = [];

  /** @param modifiedAt milliseconds since 1970 */
  constructor(modifiedAt: number) {
    this.#modifiedAt = modifiedAt;
  }

  add(files: readonly TarEntry[]): void {
    this.#members.push(this.#member(files));
  }

  /** Returns the whole archive. @param first files that come before all others */
  finish(first: readonly TarEntry[]): Uint8Array[] {
    return [this.#member(first), ...this.#members, gzipSync(TAR_END)];
  }

  #member(files: readonly TarEntry[]): Uint8Array {
    const named = files.map(({ name, content }) => ({ name: `${TOP}/${name}`, content }));
    return gzipSync(tarFiles(named, this.#modifiedAt));
  }
}

const LONGEST_NAME = 80;

/**
 * Returns a name as one part of a path. A name of a node comes from etcd or the API server, and one
 * of a file from a node: neither may lead out of the archive's folder.
 */
export function safeName(name: string): string {
  const safe = name.replace(/[^\w.-]/g, '_').replace(/^\.+/, '_');
  if (safe === name && safe.length <= LONGEST_NAME && safe !== '') return safe;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 12);
  return `${safe.slice(0, LONGEST_NAME - digest.length - 1)}-${digest}`;
}
