import { closeSync, fsyncSync, openSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { CniError } from '../protocol/errors.ts';
import { removeFile, withFolder } from './folder.ts';
import { lookAt } from './look.ts';

/** Returns the names of the records in the folder. Throws CniError 5. */
export const filesOf = (folder: string): string[] =>
  entriesOf(folder).filter((file) => file.endsWith('.json'));

/** Returns the names of all files of the folder; none where it is absent. Throws CniError 5. */
export function entriesOf(folder: string): string[] {
  try {
    if (!lookAt(folder)) return [];
    return readdirSync(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw ioFailure(`cannot list ${folder}`, error);
  }
}

/** Runs the work. Throws CniError 5. */
export function attemptIo<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw ioFailure(what, error);
  }
}

/** Writes the record atomically: to a temporary file that it then renames. Throws CniError 5. */
export function writeRecord(folder: string, file: string, record: object, durable: boolean): void {
  const path = join(folder, file);
  const beside = `${path}.${process.pid}.tmp`;
  try {
    const fd = withFolder(folder, () => openSync(beside, 'w', 0o600));
    try {
      writeFileSync(fd, JSON.stringify(record)); // Throws on a partial write.
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
    if (durable) syncFolder(folder);
  } catch (error) {
    removeFile(beside);
    throw ioFailure(`cannot write ${path}`, error);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export const isAbsent = (error: unknown): boolean => hasCode(error, 'ENOENT');

function ioFailure(what: string, cause: unknown): CniError {
  const reason = messageOf(cause);
  return new CniError(
    'io-failure',
    `${what}: ${reason}`,
    'Check that the state folder (/var/lib/cellnet, or CELLNET_STATE_DIR) can be written and has room.',
    { cause },
  );
}
