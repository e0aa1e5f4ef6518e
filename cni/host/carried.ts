import { readdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { withFolder } from './folder.ts';

/**
 * Which attachment uses which address, as symbolic links: `addresses/10.20.0.17` leads to the
 * record of the attachment. The kernel makes a link only where there is none, so of two processes
 * one wins. A link whose record is gone counts for nothing.
 */
export class CarriedAddresses {
  readonly #folder: string;
  readonly #records: string;

  /** @param records the folder of the attachments' records, a sibling of `folder` */
  constructor(folder: string, records: string) {
    this.#folder = folder;
    this.#records = records;
  }

  /**
   * Enters the address for the record.
   * @param record name of the record's file
   * @returns the file of another record that the address is entered for, and that exists
   */
  enter(address: string, record: string): string | undefined {
    const path = join(this.#folder, address);
    const target = join('..', basename(this.#records), record);
    for (let attempt = 0; ; attempt++) {
      try {
        withFolder(this.#folder, () => symlinkSync(target, path));
        return undefined;
      } catch (error) {
        if (!hasCode(error, 'EEXIST') || attempt > 2) throw error;
        const other = this.recordOf(address);
        if (other !== undefined) return other === record ? undefined : other;
        rmSync(path, { force: true });
      }
    }
  }

  /** Removes the address if it is entered for the record. */
  leave(address: string, record: string): void {
    if (this.#target(address) === record) rmSync(join(this.#folder, address), { force: true });
  }

  /** Returns the file of the record that uses the address; undefined if there is none. */
  recordOf(address: string): string | undefined {
    const record = this.#target(address);
    if (record === undefined) return undefined;
    return statSync(join(this.#records, record), { throwIfNoEntry: false }) ? record : undefined;
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
    for (const address of this.list())
      if (this.recordOf(address) === undefined) rmSync(join(this.#folder, address), { force: true });
  }

  #target(address: string): string | undefined {
    const path = join(this.#folder, address);
    try {
      return basename(readlinkSync(path));
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
