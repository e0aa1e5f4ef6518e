/** Network namespaces. Each thread is in one, and a socket stays in the one it was opened in. */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { hasCode } from '../../ipam/model/errors.ts';
import { NamespaceError } from './errors.ts';
import { CLONE_NEWNET, NS_GET_NSTYPE } from './kernel.ts';
import { ioctlResult, setns, unshare } from './libc.ts';

/** An open network namespace. It lives at least as long as it is open, even without its path. */
export class NetworkNamespace {
  readonly path: string;
  /** Device and inode identify a namespace on this machine while it lives. See namespaces(7). */
  readonly dev: number;
  readonly ino: number;
  #fd: number | undefined;
  #socket: number | undefined;

  constructor(fd: number, path: string) {
    const { dev, ino } = fstatSync(fd);
    this.path = path;
    this.dev = dev;
    this.ino = ino;
    this.#fd = fd;
  }

  /** @throws NamespaceError 'io' after close(): the number may refer to another file by then */
  get fd(): number {
    if (this.#fd === undefined)
      throw new NamespaceError('io', this.path, `network namespace ${this.path} was closed`);
    return this.#fd;
  }

  /** Takes the idle socket, if any. The caller owns it until the caller leaves it again. */
  takeSocket(): number | undefined {
    const socket = this.#socket;
    this.#socket = undefined;
    return socket;
  }

  /** Leaves an idle socket of this namespace for the next caller. `close` closes it. */
  leaveSocket(socket: number): void {
    if (this.#fd === undefined || this.#socket !== undefined) closeSync(socket);
    else this.#socket = socket;
  }

  /** Closes the namespace and the socket that was left in it. A second call does nothing. */
  close(): void {
    const socket = this.takeSocket();
    if (socket !== undefined) closeSync(socket);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

const openFailure = (path: string, cause: unknown): NamespaceError => {
  if (hasCode(cause, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'))
    return new NamespaceError('missing', path, `network namespace ${path} does not exist`, { cause });
  return new NamespaceError('io', path, `cannot open network namespace ${path}: ${String(cause)}`, { cause });
};

/**
 * Opens a network namespace by a path such as /run/netns/NAME or /proc/PID/ns/net. The caller
 * closes it. A file that remains where a namespace was mounted before a reboot is
 * 'not-a-namespace'.
 * @throws NamespaceError
 */
export const openNamespace = (path: string): NetworkNamespace => {
  let fd: number;
  try {
    // O_NONBLOCK: opening a named pipe by mistake must not wait for its writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw openFailure(path, error);
  }
  if (ioctlResult(fd, NS_GET_NSTYPE) !== CLONE_NEWNET) {
    closeSync(fd);
    throw new NamespaceError('not-a-namespace', path, `${path} exists, but is not a network namespace`);
  }
  return new NetworkNamespace(fd, path);
};

let host: NetworkNamespace | undefined;
let current: NetworkNamespace | undefined;

/** Returns the namespace that this process started in, opened once. Callers must not close it. */
export const hostNamespace = (): NetworkNamespace => (host ??= openNamespace('/proc/thread-self/ns/net'));

export const sameNamespace = (a: NetworkNamespace, b: NetworkNamespace): boolean =>
  a.dev === b.dev && a.ino === b.ino;

/**
 * Aborts the process. Any further code, even a handler, would touch links of the wrong namespace.
 */
const abandonProcess = (cause: unknown): never => {
  writeSync(2, `cellnet: cannot return from a network namespace, stopping: ${String(cause)}\n`);
  process.abort();
};

const enter = (namespace: NetworkNamespace): void => {
  const { fd, path } = namespace;
  try {
    setns(fd, CLONE_NEWNET);
  } catch (cause) {
    throw new NamespaceError('io', path, `cannot enter network namespace ${path}: ${String(cause)}`, {
      cause,
    });
  }
};

const returnTo = (namespace: NetworkNamespace): void => {
  try {
    enter(namespace);
    current = namespace;
  } catch (error) {
    abandonProcess(error);
  }
};

/**
 * Runs `fn` with this thread inside the namespace. `fn` must be synchronous, because code after an
 * `await` would run in another namespace. Calls may be nested. If the thread cannot return to its
 * former namespace, this function aborts the process.
 * Equivalent to: ip netns exec NAME fn
 * @throws NamespaceError 'io' when the thread cannot enter the namespace; TypeError when `fn`
 *   returns a promise; whatever `fn` throws
 */
export const inNamespace = <T>(namespace: NetworkNamespace, fn: () => T): T => {
  const before = (current ??= hostNamespace());
  if (sameNamespace(namespace, before)) return refusePromise(fn());
  enter(namespace);
  current = namespace;
  try {
    return refusePromise(fn());
  } finally {
    returnTo(before);
  }
};

/**
 * Makes an empty namespace that only this process knows: it ends with `close()` or with the
 * process, and every link into it with it.
 * @throws NetlinkError when the process may make none
 */
export const newNamespace = (): NetworkNamespace => {
  const before = (current ??= hostNamespace());
  unshare(CLONE_NEWNET);
  try {
    return openNamespace('/proc/thread-self/ns/net');
  } finally {
    returnTo(before);
  }
};

const refusePromise = <T>(value: T): T => {
  if (value instanceof Promise) {
    // Without this handler the promise's failure would end the process before this error is seen.
    value.catch(() => undefined);
    throw new TypeError('inNamespace: the function is asynchronous; only what is synchronous stays inside');
  }
  return value;
};
