import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, lstatSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { isSocketPath, SOCKET_PATH_FORM } from '../../ipam/settings/socket-path.ts';
import { tryLockByte } from '../netlink/libc.ts';

/**
 * A unix socket for root only, which belongs to this process alone. The file `PATH.lock` stays, and
 * only the process that holds its lock has a socket at the path: of two agents that start at once,
 * one goes on.
 */
export class RootSocket {
  readonly #server: Server;
  readonly #path: string;
  #unlock: () => void = () => undefined;
  /** Device and inode of the socket. Another process may have put another one there. */
  #identity: string | undefined;
  #isClosed = false;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /**
   * Listens at the path: creates the folder with mode 0700 and the socket with 0600. Replaces the
   * socket that a killed agent left.
   * @throws Error when another agent has the path, others can write to the folder, or the path is
   *   too long
   */
  static async listen(server: Server, path: string): Promise<RootSocket> {
    if (!isSocketPath(path))
      throw new Error(`'${path}' has ${Buffer.byteLength(path)} bytes: expected ${SOCKET_PATH_FORM}`);
    const socket = new RootSocket(server, path);
    await socket.#open();
    return socket;
  }

  /**
   * Listens again if the socket is not there any more. The connections of before go on.
   * @returns whether that was necessary
   * @throws Error as {@link listen}
   */
  async restore(): Promise<boolean> {
    if (this.#isClosed || identityOf(this.#path) === this.#identity) return false;
    this.#unlock();
    this.#server.close();
    await this.#open();
    return true;
  }

  /** Accepts no more connections. Removes the socket, unless another one is there by now. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (identityOf(this.#path) === this.#identity) rmSync(this.#path, { force: true });
    this.#server.close();
    this.#unlock();
  }

  async #open(): Promise<void> {
    makeFolder(dirname(this.#path));
    this.#unlock = lockBeside(this.#path);
    try {
      // An agent of an earlier version has no lock.
      if (await isAnswered(this.#path)) throw new Error(`another agent answers at ${this.#path}`);
      await this.#bind();
    } catch (error) {
      this.#unlock();
      throw error;
    }
  }

  /**
   * Binds beside the path, and renames. When the server is closed, Node removes whatever has the
   * name to which it was bound.
   */
  async #bind(): Promise<void> {
    const beside = join(dirname(this.#path), `.${randomBytes(4).toString('hex')}`);
    try {
      await new Promise<void>((done, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(beside, () => {
          this.#server.off('error', reject);
          done();
        });
      });
      chmodSync(beside, 0o600);
      this.#identity = identityOf(beside);
      renameSync(beside, this.#path);
    } catch (error) {
      this.#server.close();
      throw new Error(`cannot listen at ${this.#path}: ${messageOf(error)}`, { cause: error });
    }
  }
}

function makeFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = statSync(folder);
  if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.geteuid?.()))
    throw new Error(`folder ${folder} can be written by others: expected mode 0700, owned by root`);
}

/** The kernel releases the lock when the process ends, however it ends. */
function lockBeside(path: string): () => void {
  const fd = openSync(`${path}.lock`, 'a', 0o600);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  if (tryLockByte(fd, 0n)) return close;
  close();
  throw new Error(`another agent answers at ${path}, or is about to: it has locked ${path}.lock`);
}

function identityOf(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/** Only "nobody listens" means that nobody does: an agent that hangs has a full queue. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    const end = (answered: boolean): void => {
      socket.destroy();
      done(answered);
    };
    socket.once('connect', () => end(true));
    socket.once('error', (error) => end(!hasCode(error, 'ENOENT', 'ECONNREFUSED')));
  });
}

/** Whether both paths lead to one socket, also by a link such as `/var/run`. */
export function isSameSocket(path: string, other: string): boolean {
  if (resolve(path) === resolve(other)) return true;
  try {
    const [a, b] = [statSync(path), statSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
