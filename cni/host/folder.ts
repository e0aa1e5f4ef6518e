import { lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { hasCode } from '../../ipam/model/errors.ts';

/** Removes a file if it is there. Quicker than `rmSync`, which is made for whole folders. */
export function removeFile(path: string): void {
  // Mostly it is not there, and an exception costs more than a look.
  if (!lstatSync(path, { throwIfNoEntry: false })) return;
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

function mkdirUnlessThere(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
}

/** Runs the work that needs the folder. On ENOENT creates the folder and runs the work again. */
export function withFolder<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    ensureFolder(folder);
    return work();
  }
}

/**
 * Creates the folder with its parents, mode 0700. Node's own recursive mkdir never ends when a
 * parent cannot be created, for example below /proc.
 */
function ensureFolder(folder: string): void {
  try {
    mkdirUnlessThere(folder);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(folder) === folder) throw error;
    ensureFolder(dirname(folder));
    mkdirUnlessThere(folder);
  }
}
