import { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, IFNAMSIZ, SIOCETHTOOL } from './kernel.ts';
import { interfaceRequest, ioctl, pointerTo, POINTER_SIZE } from './libc.ts';

/**
 * Calls SIOCETHTOOL with a struct ifreq whose data points to a struct ethtool_value (command,
 * value) of linux/ethtool.h. Returns the value that the kernel left there.
 */
const ethtoolValue = (
  fd: number,
  link: string,
  command: number,
  value: number,
  operation: string,
): number => {
  const argument = Buffer.alloc(8);
  argument.writeUInt32LE(command, 0);
  argument.writeUInt32LE(value, 4);
  const request = interfaceRequest(link);
  const pointer = pointerTo(argument);
  if (POINTER_SIZE === 8) request.writeBigUInt64LE(pointer, IFNAMSIZ);
  else request.writeUInt32LE(Number(pointer), IFNAMSIZ);
  ioctl(fd, SIOCETHTOOL, request, operation);
  return argument.readUInt32LE(4);
};

/**
 * Returns true when packets leave with their checksum still to be filled in by hardware. `fd` is
 * any socket of the namespace.
 * Equivalent to: ethtool --show-features LINK | grep tx-checksumming
 */
export const hasTxChecksumOffload = (fd: number, link: string): boolean =>
  ethtoolValue(fd, link, ETHTOOL_GTXCSUM, 0, `read checksum offload of ${link}`) !== 0;

/**
 * Makes the kernel fill in checksums itself. The userspace datapath of Open vSwitch forwards
 * packets unchanged, so TCP fails when their checksums are incomplete.
 * Equivalent to: ethtool --features LINK tx off
 */
export const disableTxChecksumOffload = (fd: number, link: string): void => {
  ethtoolValue(fd, link, ETHTOOL_STXCSUM, 0, `switch off checksum offload of ${link}`);
};
