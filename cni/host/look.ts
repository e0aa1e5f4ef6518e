import { statSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Returns undefined where nothing has the path. A path through a file is an error, not an absence:
 * it does not say that there is no such record. Node from 22 on takes it for an absence, Node 20
 * does not.
 * @throws Error with the system's code
 */
export function lookAt(path: string): Stats | undefined {
  // Mostly the file is not there, and an exception costs more than a look.
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) refuseFileAsFolder(dirname(path));
  return stats;
}

function refuseFileAsFolder(folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (!stats && dirname(folder) !== folder) refuseFileAsFolder(dirname(folder));
  if (stats && !stats.isDirectory())
    throw Object.assign(new Error(`${folder} is not a folder`), { code: 'ENOTDIR' });
}
