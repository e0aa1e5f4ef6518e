/** Opens netlink sockets on which the kernel explains its refusals in a sentence. */
import { closeSync, openSync } from 'node:fs';
import type { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { AF_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, SOL_NETLINK } from './kernel.ts';
import { enableOption, socketAddress } from './libc.ts';

/**
 * Makes the kernel send its reason with a refusal and leave out the refused request. Kernels
 * without these options ignore both.
 */
export const askForExplanations = (fd: number): void => {
  enableOption(fd, SOL_NETLINK, NETLINK_EXT_ACK);
  enableOption(fd, SOL_NETLINK, NETLINK_CAP_ACK);
};

export interface OpenedSocket {
  readonly socket: RawNetlinkSocket;
  /** Undefined when the descriptor cannot be proven. The addon closes it. */
  readonly fd: number | undefined;
}

/**
 * Opens a socket through the addon and finds its file descriptor, which the addon does not expose.
 * The kernel assigns the lowest free descriptor, so the new socket takes the one that this function
 * has just freed. The socket's port proves it. If another thread took that descriptor meanwhile,
 * errors carry no explanation.
 */
export const openWithExplanations = (open: () => RawNetlinkSocket): OpenedSocket => {
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);
  const socket = open();
  if (!isSocketOf(fd, socket.address().port)) return { socket, fd: undefined };
  askForExplanations(fd);
  return { socket, fd };
};

/** Layout of struct sockaddr_nl: family (2 bytes), padding (2), port (4), groups (4). */
const isSocketOf = (fd: number, port: number): boolean => {
  const address = socketAddress(fd, 12);
  return address?.readUInt16LE(0) === AF_NETLINK && address.readUInt32LE(4) === port;
};
