import { dirname } from 'node:path';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';
import type { Step } from './steps.ts';

/**
 * Refuses steps into a read-only file system before the first of them runs, because the steps after
 * it would be missing: the network file comes last.
 * @throws CommandError that names the folder
 */
export function checkWritable(steps: readonly Step[], look: Pick<Look, 'kind' | 'isReadOnly'>): void {
  const folders = steps.flatMap((step) => ('path' in step ? [existing(dirname(step.path), look)] : []));
  for (const folder of new Set(folders)) {
    if (!look.isReadOnly(folder)) continue;
    throw new CommandError(
      `'${folder}' is on a read-only file system: nothing was changed`,
      'Name another folder (--bin-dir, --lib-dir, --conf, --program-dir), --no-program-dir for no links to cnictl and cellnetd, or --no-systemd for no unit.',
    );
  }
}

/** Returns the folder itself, or the nearest above it that exists. */
function existing(folder: string, look: Pick<Look, 'kind'>): string {
  if (look.kind(folder) !== undefined || dirname(folder) === folder) return folder;
  return existing(dirname(folder), look);
}
