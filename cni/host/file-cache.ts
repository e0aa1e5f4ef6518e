import type { Stats } from 'node:fs';
import { lookAt } from './look.ts';

interface Known<T> {
  readonly stats: Stats;
  readonly content: T;
}

/**
 * The contents of files that are replaced whole, as this process last read or wrote them. A look at
 * the file's inode, size and time tells whether another process has replaced it since.
 */
export class FileCache<T> {
  readonly #most: number;
  readonly #known = new Map<string, Known<T>>();

  /** @param most number of files; beyond it the one that was added first is forgotten */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Returns the content of the file; undefined if there is no file, or `read` finds nothing in it.
   * @param read reads a file that is not known as it is now, and tells of one it cannot read
   */
  get(path: string, read: () => T | undefined): T | undefined {
    let stats: Stats | undefined;
    try {
      stats = lookAt(path);
    } catch {
      return read();
    }
    const known = this.#known.get(path);
    if (stats && known && isSame(stats, known.stats)) return known.content;
    this.#known.delete(path);
    if (!stats) return undefined;
    const content = read();
    if (content !== undefined) this.#keep(path, { stats, content });
    return content;
  }

  /** Adds what the caller has just written, while no other process may write the file. */
  add(path: string, content: T): void {
    const stats = lookAt(path);
    if (stats) this.#keep(path, { stats, content });
  }

  #keep(path: string, known: Known<T>): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= this.#most && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(path, known);
  }
}

/** The time of the last change of the inode does not count: a hard link to the file changes it. */
const isSame = (a: Stats, b: Stats): boolean =>
  a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs;
