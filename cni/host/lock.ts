import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { tryLockByte } from '../netlink/libc.ts';
import type { Unlock } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import { withFolder } from './folder.ts';

/**
 * Longest wait for another call of the same attachment, in milliseconds. Together with the call
 * itself it is below the time that a plugin waits for the agent. Only a call with another plugin
 * may take longer; the runtime then repeats this one.
 */
const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 10;

/** The byte of the turns. Those of attachments are below 2^60. */
const TURNS_PLACE = 2n ** 60n;
/** Longest wait for a turn, in milliseconds. Each takes some milliseconds, unless etcd is slow. */
const TURN_PATIENCE_MS = 1_000;

/**
 * Returns the byte that stands for the attachment in the file of locks: 60 bits of a hash. No two
 * attachments of a node share one, or calls for one of them would wait for the other's servers. The
 * file is never removed, so no call can hold a lock of a removed file, and it stays empty.
 */
function placeOf({ containerId, ifname }: Attachment): bigint {
  const hash = createHash('sha256').update(`${containerId}/${ifname}`).digest('hex');
  return BigInt(`0x${hash.slice(0, 15)}`);
}

/**
 * Takes the lock with fcntl(2), or returns undefined when another call holds it. The kernel
 * releases the lock when the process ends, however it ends.
 * @throws CniError 5 when the file of locks cannot be opened
 */
export function tryLock(dir: string, attachment: Attachment): Unlock | undefined {
  return tryLockPlace(dir, placeOf(attachment));
}

function tryLockPlace(dir: string, place: bigint): Unlock | undefined {
  const folder = join(dir, 'locks');
  let fd: number;
  try {
    fd = withFolder(folder, () => openSync(join(folder, 'attachments'), 'a', 0o600));
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError(
      'io-failure',
      `cannot lock the attachment in ${dir}: ${reason}`,
      'Check that the state folder (/var/lib/cellnet, or CELLNET_STATE_DIR) can be written and has room.',
      { cause },
    );
  }
  if (tryLockByte(fd, place)) return () => closeSync(fd);
  closeSync(fd);
  return undefined;
}

/**
 * @param patienceMs longest wait for another call of the attachment
 * @throws CniError 11 when another call holds the lock too long; 5 as {@link tryLock}
 */
export async function lock(dir: string, attachment: Attachment, patienceMs = PATIENCE_MS): Promise<Unlock> {
  const expiresAt = performance.now() + patienceMs;
  for (;;) {
    const unlock = tryLock(dir, attachment);
    if (unlock) return unlock;
    if (performance.now() >= expiresAt) {
      const { containerId, ifname } = attachment;
      throw new CniError(
        'try-again-later',
        `another call for ${containerId}/${ifname} has been under way for ${patienceMs / 1000} s`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/**
 * Waits for a turn to change the node's blocks, among the processes that use this state folder and
 * have lost a race. Never throws: a process that gets no turn goes on without one, and may
 * lose again.
 */
export async function takeTurn(dir: string): Promise<Unlock> {
  const expiresAt = performance.now() + TURN_PATIENCE_MS;
  try {
    while (performance.now() < expiresAt) {
      const unlock = tryLockPlace(dir, TURNS_PLACE);
      if (unlock) return unlock;
      // Waiters that looked at the same moments would wait for each other's looks.
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS * Math.random()));
    }
  } catch {
    // The call itself tells what is wrong with the folder, where it needs it.
  }
  return () => undefined;
}
