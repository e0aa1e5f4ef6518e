import { constants, copyFileSync, linkSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { hasCode } from '../../ipam/model/errors.ts';
import { removeFile, withFolder } from './folder.ts';
import { lookAt } from './look.ts';

/**
 * Which attachment uses which address, as hard links: `addresses/10.20.0.17` is the attachment's
 * record, as it was when the address was entered. The kernel makes a link only where there is none,
 * so of two processes one wins. A link whose attachment has no record any more counts for nothing.
 * Hard links, because a link that needs an inode of its own takes ten times as long.
 */
export class CarriedAddresses {
  readonly #folder: string;
  readonly #records: string;
  readonly #fileOf: (attachment: Attachment) => string;

  /**
   * @param records the folder of the attachments' records, a sibling of `folder`
   * @param fileOf returns the name of an attachment's record in it
   */
  constructor(folder: string, records: string, fileOf: (attachment: Attachment) => string) {
    this.#folder = folder;
    this.#records = records;
    this.#fileOf = fileOf;
  }

  /**
   * Enters the address for the record.
   * @param record name of the record's file, which exists
   * @returns the file of another record that the address is entered for, and that exists
   */
  enter(address: string, record: string): string | undefined {
    const path = join(this.#folder, address);
    const target = join(this.#records, record);
    for (let attempt = 0; ; attempt++) {
      try {
        withFolder(this.#folder, () => linkOrCopy(target, path));
        return undefined;
      } catch (error) {
        if (!hasCode(error, 'EEXIST') || attempt > 2) throw error;
        const other = this.recordOf(address);
        if (other !== undefined) return other === record ? undefined : other;
        this.#remove(address);
      }
    }
  }

  /** Removes the address if it is entered for the record. */
  leave(address: string, record: string): void {
    const path = join(this.#folder, address);
    // Mostly it is the link that was made, and the name of the same file needs not be read.
    if (isSameFile(path, join(this.#records, record)) || this.#target(address) === record) removeFile(path);
  }

  /** Returns the file of the record that uses the address; undefined if there is none. */
  recordOf(address: string): string | undefined {
    const record = this.#target(address);
    if (record === undefined) return undefined;
    return lookAt(join(this.#records, record)) ? record : undefined;
  }

  list(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** Removes the entries whose record is gone. */
  sweep(): void {
    for (const address of this.list()) if (this.recordOf(address) === undefined) this.#remove(address);
  }

  /** Returns undefined for an entry that is absent, or damaged by a loss of power. */
  #target(address: string): string | undefined {
    const path = join(this.#folder, address);
    if (!lookAt(path)) return undefined;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
    try {
      return this.#fileOf(JSON.parse(text) as Attachment);
    } catch {
      return undefined;
    }
  }

  #remove(address: string): void {
    removeFile(join(this.#folder, address));
  }
}

function isSameFile(path: string, other: string): boolean {
  const [a, b] = [path, other].map((each) => statSync(each, { throwIfNoEntry: false, bigint: true }));
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

/** Copies on file systems without hard links. Throws EEXIST where there is something. */
function linkOrCopy(target: string, path: string): void {
  try {
    linkSync(target, path);
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EMLINK')) throw error;
    copyFileSync(target, path, constants.COPYFILE_EXCL);
  }
}
