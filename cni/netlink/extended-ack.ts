/** Netlink sockets on which the kernel explains its refusals in a sentence. */
import { closeSync, openSync } from 'node:fs';
import type { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { AF_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, SOL_NETLINK } from './kernel.ts';
import { enableOption, socketAddress } from './libc.ts';

/** Has the kernel send its reason with a refusal, and leave out the request that was refused. An older one does neither. */
export const askForExplanations = (fd: number): void => {
  enableOption(fd, SOL_NETLINK, NETLINK_EXT_ACK);
  enableOption(fd, SOL_NETLINK, NETLINK_CAP_ACK);
};

export interface OpenedSocket {
  readonly socket: RawNetlinkSocket;
  /** Undefined where it cannot be proven. Closed by the addon. */
  readonly fd: number | undefined;
}

/**
 * A socket of the addon's, with its file descriptor. The addon keeps its file descriptor to itself. A new one gets the lowest free number, so it is the one that was
 * free a moment before; the socket's port proves it (another thread may have opened a file meanwhile, and then the
 * errors merely stay without explanation).
 */
export const openWithExplanations = (open: () => RawNetlinkSocket): OpenedSocket => {
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);
  const socket = open();
  if (!isSocketOf(fd, socket.address().port)) return { socket, fd: undefined };
  askForExplanations(fd);
  return { socket, fd };
};

/** struct sockaddr_nl: family (2 bytes), padding (2), port (4), groups (4) */
const isSocketOf = (fd: number, port: number): boolean => {
  const address = socketAddress(fd, 12);
  return address?.readUInt16LE(0) === AF_NETLINK && address.readUInt32LE(4) === port;
};
