import { randomBytes } from 'node:crypto';
import {
  accessSync,
  appendFileSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { hasCode } from '../../ipam/model/errors.ts';
import { CommandError } from './errors.ts';

/** A text, its pieces, or bytes. */
export type Content = string | Uint8Array | Iterable<string | Uint8Array>;

/**
 * Returns the file's text; undefined when it does not exist.
 * @throws CommandError when it cannot be read
 */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new CommandError(`'${path}' cannot be read: ${describeReason(error)}`, '', { cause: error });
  }
}

/**
 * Checks before the work that a file can be written: nothing is at the path, or a regular file.
 * @throws CommandError for a folder, device, named pipe or socket, or when the parent folder is not
 *   writable
 */
export function checkTarget(path: string): void {
  targetOf(path);
}

/**
 * Writes the whole file or nothing, with mode 0600. An iterable carries content too long for one
 * string.
 * @throws CommandError as {@link checkTarget}, or when the disk is full
 */
export function replaceFile(path: string, content: Content): void {
  const target = targetOf(path);
  const beside = `${target}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    writeNew(beside, typeof content === 'string' || content instanceof Uint8Array ? [content] : content);
    renameSync(beside, target);
  } catch (error) {
    removeIfThere(beside);
    throw unwritable(path, error);
  }
}

/** Syncs before it returns, so that a power cut leaves the old file or the new one. */
function writeNew(path: string, parts: Iterable<string | Uint8Array>): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    for (const part of parts) writeFileSync(file, part);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Appends to the file, and creates it with mode 0600.
 * @throws CommandError as {@link checkTarget}
 */
export function appendToFile(path: string, content: string): void {
  const target = targetOf(path);
  try {
    appendFileSync(target, content, { mode: 0o600 });
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Returns the file to write, with links followed. */
function targetOf(path: string): string {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    const target = stats ? realpathSync(path) : path;
    if (!stats || stats.isFile()) {
      // The dot makes access fail when the parent is not a folder.
      accessSync(`${dirname(target)}/.`, constants.W_OK);
      return target;
    }
    throw new CommandError(
      `'${path}' cannot be written: it is ${kindOf(stats)}`,
      'Name a file that does not exist yet, or a regular one.',
    );
  } catch (error) {
    throw error instanceof CommandError ? error : unwritable(path, error);
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function unwritable(path: string, error: unknown): CommandError {
  return new CommandError(
    `'${path}' cannot be written: ${describeReason(error)}`,
    'Name a file in a folder that exists and that you may write to.',
    { cause: error },
  );
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The file was never created, or is unreachable like the target, which the caller reports.
  }
}

/**
 * Returns the system's message alone, such as `no space left on device`, without the system call or
 * our temporary names.
 */
export function describeReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
  return getSystemErrorMap().get(errno)?.[1] ?? error.message;
}
