/** Looks at the process at the other end of a unix socket. */
import type { Socket } from 'node:net';
import { hasPollEvent, readOption } from './libc.ts';

// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
// asm-generic/poll.h
const POLLHUP = 0x10;

const fdOf = (socket: Socket): number | undefined => {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } };
  return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
};

/**
 * Returns the user ID of the process at the other end, which connected or listened: SO_PEERCRED of
 * unix(7), struct ucred { pid, uid, gid }. Returns undefined when the kernel does not report it.
 */
export const peerUid = (socket: Socket): number | undefined => {
  const fd = fdOf(socket);
  return fd === undefined ? undefined : readOption(fd, SOL_SOCKET, SO_PEERCRED, 12)?.readUInt32LE(4);
};

/** Whether the process is root's, or this process's own user's. */
export const isTrustedPeer = (socket: Socket): boolean => {
  const uid = peerUid(socket);
  return uid !== undefined && (uid === 0 || uid === process.geteuid?.());
};

/**
 * Whether the other end has closed its socket. An end that only sends no more (shutdown(2)) still
 * takes an answer, and has not.
 */
export const hasHungUp = (socket: Socket): boolean => {
  const fd = fdOf(socket);
  return fd === undefined || hasPollEvent(fd, POLLHUP);
};
