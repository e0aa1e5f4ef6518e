import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { tryLockFile } from '../netlink/libc.ts';
import type { Unlock } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import { withFolder } from './folder.ts';

/**
 * Longest wait for another call of the same attachment, in milliseconds: below the runtime's four
 * minutes.
 */
const PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 10;

/**
 * Returns one of 256 files, by a hash of the attachment. The files are never removed, so no call
 * can hold the lock of a removed file. Two attachments that share a file only wait for each other.
 */
function fileOf(dir: string, { containerId, ifname }: Attachment): string {
  return join(
    dir,
    'locks',
    createHash('sha256').update(`${containerId}/${ifname}`).digest('hex').slice(0, 2),
  );
}

/**
 * Takes the lock with flock(2), or returns undefined when another call holds it. The kernel
 * releases the lock when the process ends, however it ends.
 * @throws CniError 5 when the lock file cannot be opened
 */
export function tryLock(dir: string, attachment: Attachment): Unlock | undefined {
  let fd: number;
  try {
    fd = withFolder(join(dir, 'locks'), () => openSync(fileOf(dir, attachment), 'a', 0o600));
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError(
      'io-failure',
      `cannot lock the attachment in ${dir}: ${reason}`,
      'Check that the state folder (/var/lib/cellnet, or CELLNET_STATE_DIR) can be written and has room.',
      { cause },
    );
  }
  if (tryLockFile(fd)) return () => closeSync(fd);
  closeSync(fd);
  return undefined;
}

/** @throws CniError 11 when another call holds the lock too long; 5 as {@link tryLock} */
export async function lock(dir: string, attachment: Attachment): Promise<Unlock> {
  const expiresAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const unlock = tryLock(dir, attachment);
    if (unlock) return unlock;
    if (performance.now() >= expiresAt) {
      const { containerId, ifname } = attachment;
      throw new CniError(
        'try-again-later',
        `another call for ${containerId}/${ifname} has been under way for ${PATIENCE_MS / 1000} s`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
