/** Identifies the process at the other end of a unix socket. */
import type { Socket } from 'node:net';
import { readOption } from './libc.ts';

// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/**
 * Returns the user ID of the process that connected: SO_PEERCRED of unix(7), struct ucred { pid,
 * uid, gid }. Returns undefined when the kernel does not report it.
 */
export const peerUid = (socket: Socket): number | undefined => {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  return readOption(handle.fd, SOL_SOCKET, SO_PEERCRED, 12)?.readUInt32LE(4);
};
