import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { isSocketPath, SOCKET_PATH_FORM } from '../../ipam/settings/socket-path.ts';

/**
 * Listens at the path for root only: creates the folder with mode 0700 and the socket with 0600.
 * Replaces the socket that a killed agent left.
 * @throws Error when another agent answers there, others can write to the folder, or the path is
 *   too long
 */
export async function listenForRoot(server: Server, path: string): Promise<void> {
  if (!isSocketPath(path))
    throw new Error(`'${path}' has ${Buffer.byteLength(path)} bytes: expected ${SOCKET_PATH_FORM}`);
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = statSync(folder);
  if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.geteuid?.()))
    throw new Error(`folder ${folder} can be written by others: expected mode 0700, owned by root`);
  if (await isAnswered(path)) throw new Error(`another agent answers at ${path}`);
  rmSync(path, { force: true });
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
