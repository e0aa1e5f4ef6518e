/** System calls that Node lacks, called through koffi in the C library that Node is linked with. */
import { constants } from 'node:os';
import koffi from 'koffi';
import { NetlinkError } from './errors.ts';
import { AF_PACKET, IFNAMSIZ, SIOCGIFINDEX, SOCK_CLOEXEC } from './kernel.ts';

type NativeFunction = ReturnType<ReturnType<typeof koffi.load>['func']>;

/** Binds at first use, so a plugin start that needs none of these calls pays nothing. */
const lazily = (definition: string): (() => NativeFunction) => {
  let bound: NativeFunction | undefined;
  return () => (bound ??= koffi.load(null).func(definition));
};

const native = {
  setns: lazily('int setns(int fd, int type)'),
  unshare: lazily('int unshare(int flags)'),
  socket: lazily('int socket(int domain, int type, int protocol)'),
  close: lazily('int close(int fd)'),
  ioctl: lazily('int ioctl(int fd, unsigned long request, ...)'),
  sendto: lazily(
    'long sendto(int fd, const void *data, size_t size, int flags, const void *to, uint32_t length)',
  ),
  bind: lazily('int bind(int fd, const void *address, uint32_t length)'),
  recv: lazily('long recv(int fd, _Out_ void *data, size_t size, int flags)'),
  recvfrom: lazily(
    'long recvfrom(int fd, _Out_ void *data, size_t size, int flags, _Out_ void *from, _Inout_ uint32_t *length)',
  ),
  getsockname: lazily('int getsockname(int fd, _Out_ void *address, _Inout_ uint32_t *length)'),
  getsockopt: lazily(
    'int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)',
  ),
  fcntl: lazily('int fcntl(int fd, int command, ...)'),
  poll: lazily('int poll(void *fds, unsigned long count, int timeout_ms)'),
  setsockopt: lazily('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
};

/** The calls return -1 on failure and leave the reason in errno. */
const succeeded = (result: unknown): number | undefined =>
  typeof result === 'number' && result >= 0 ? result : undefined;

const check = (result: unknown, operation: string): number => {
  const value = succeeded(result);
  if (value === undefined) throw new NetlinkError(koffi.errno(), operation);
  return value;
};

/** Moves the calling thread into a namespace of the given kind (CLONE_NEW…). See setns(2). */
export const setns = (fd: number, type: number): void => {
  check(native.setns()(fd, type), 'setns');
};

/** Moves the calling thread into a new namespace of the given kind. See unshare(2). */
export const unshare = (type: number): void => {
  check(native.unshare()(type), 'unshare');
};

/** Opens a socket that the kernel closes on exec. See socket(2). */
export const openSocket = (domain: number, type: number, protocol: number, operation: string): number =>
  check(native.socket()(domain, type | SOCK_CLOEXEC, protocol), operation);

export const closeSocket = (fd: number): void => {
  native.close()(fd);
};

/**
 * Closes on another thread, because closing a packet socket waits for the kernel's readers (RCU).
 * Resolves when the socket is closed.
 */
export const closeSocketAside = (fd: number): Promise<void> =>
  new Promise((resolve) => {
    try {
      native.close().async(fd, () => resolve());
    } catch {
      closeSocket(fd); // koffi refuses more than 256 calls at once.
      resolve();
    }
  });

/** Returns the result of an ioctl without argument, or -1. See ioctl(2). */
export const ioctlResult = (fd: number, request: number): number =>
  succeeded(native.ioctl()(fd, request, 'void *', null)) ?? -1;

/** Calls ioctl(2), which reads and writes `argument` in place. */
export const ioctl = (fd: number, request: number, argument: Buffer, operation: string): void => {
  check(native.ioctl()(fd, request, 'void *', argument), operation);
};

/** @throws NetlinkError with the errno of sendto(2) */
export const sendTo = (fd: number, data: Buffer, address: Buffer, operation: string): void => {
  check(native.sendto()(fd, data, data.length, 0, address, address.length), operation);
};

/**
 * Sends to the kernel, or to the peer that the socket is connected to.
 * @throws NetlinkError with the errno of sendto(2)
 */
export const send = (fd: number, data: Buffer, operation: string): void => {
  check(native.sendto()(fd, data, data.length, 0, null, 0), operation);
};

/** @throws NetlinkError with the errno of bind(2) */
export const bindSocket = (fd: number, address: Buffer, operation: string): void => {
  check(native.bind()(fd, address, address.length), operation);
};

/** The kernel writes each datagram here. `receive` returns a copy, so one buffer is enough. */
const RECEIVE_BYTES = 32_768;
let receiving: Buffer | undefined;

/**
 * Returns one datagram, cut to 32 KiB, or undefined when no datagram waits.
 * @throws NetlinkError with the errno of recv(2)
 */
export const receive = (fd: number, operation: string): Buffer | undefined => {
  receiving ??= Buffer.alloc(RECEIVE_BYTES);
  const length = succeeded(native.recv()(fd, receiving, receiving.length, 0));
  if (length !== undefined) return Buffer.from(receiving.subarray(0, length));
  if (koffi.errno() === constants.errno.EAGAIN) return undefined;
  throw new NetlinkError(koffi.errno(), operation);
};

/**
 * Returns one datagram and the address of its sender, or undefined when no datagram waits.
 * @throws NetlinkError with the errno of recvfrom(2)
 */
export const receiveFrom = (
  fd: number,
  maxBytes: number,
  operation: string,
): { data: Buffer; from: Buffer } | undefined => {
  const [data, from] = [Buffer.alloc(maxBytes), Buffer.alloc(32)];
  const length = succeeded(native.recvfrom()(fd, data, data.length, 0, from, [from.length]));
  if (length !== undefined) return { data: data.subarray(0, length), from };
  if (koffi.errno() === constants.errno.EAGAIN) return undefined;
  throw new NetlinkError(koffi.errno(), operation);
};

/**
 * Returns the first `size` bytes of a socket's own address, or undefined when `fd` is not an open
 * socket.
 */
export const socketAddress = (fd: number, size: number): Buffer | undefined => {
  const address = Buffer.alloc(size);
  return succeeded(native.getsockname()(fd, address, [size])) === undefined ? undefined : address;
};

/** Returns a socket option's bytes, or undefined when the kernel lacks it. See getsockopt(2). */
export const readOption = (fd: number, level: number, name: number, size: number): Buffer | undefined => {
  const value = Buffer.alloc(size);
  return succeeded(native.getsockopt()(fd, level, name, value, [size])) === undefined ? undefined : value;
};

/**
 * Returns whether poll(2) reports the event now: struct pollfd { int fd; short events, revents }.
 * It always reports POLLHUP and POLLERR.
 */
export const hasPollEvent = (fd: number, event: number): boolean => {
  const polled = Buffer.alloc(8);
  polled.writeInt32LE(fd, 0);
  polled.writeInt16LE(event, 4);
  return native.poll()(polled, 1, 0) === 1 && (polled.readInt16LE(6) & event) !== 0;
};

/**
 * Sends on another thread, for requests that the kernel carries out within the call. Resolves when
 * the call has returned.
 * @throws NetlinkError EIO when the call fails, because errno belongs to the other thread
 */
export const sendAside = (fd: number, data: Buffer, operation: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const done = (error: Error | null | undefined, result: unknown): void => {
      if (error) reject(error);
      else if (succeeded(result) === undefined) reject(new NetlinkError(constants.errno.EIO, operation));
      else resolve();
    };
    try {
      native.sendto().async(fd, data, data.length, 0, null, 0, done);
    } catch {
      send(fd, data, operation); // koffi refuses more than 256 calls at once.
      resolve();
    }
  });

// linux/fcntl.h
const F_OFD_SETLK = 37;
const F_WRLCK = 1;

/**
 * Builds a struct flock of linux/fcntl.h for one byte of a file: type (2 bytes), whence (2),
 * padding (4), start (8), length (8), pid (4), padding (4). A whence of 0 counts from the file's
 * beginning.
 */
const oneByte = (offset: bigint): Buffer => {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(F_WRLCK, 0);
  lock.writeBigInt64LE(offset, 8);
  lock.writeBigInt64LE(1n, 16);
  return lock;
};

/**
 * Locks one byte of an open file exclusively, whether the file has that byte or not. The lock
 * belongs to the descriptor and ends with it. Returns false when another descriptor has it. See
 * fcntl(2), "Open file description locks".
 * @param offset 0 to 2^63 - 1
 */
export const tryLockByte = (fd: number, offset: bigint): boolean =>
  succeeded(native.fcntl()(fd, F_OFD_SETLK, 'void *', oneByte(offset))) !== undefined;

/** Switches a socket option on. Returns false when the kernel lacks it. See setsockopt(2). */
export const enableOption = (fd: number, level: number, name: number): boolean => {
  const on = Buffer.alloc(4);
  on.writeUInt32LE(1);
  return succeeded(native.setsockopt()(fd, level, name, on, on.length)) !== undefined;
};

/**
 * Builds a struct ifreq of linux/if.h: the interface's name, then a union, here of at most 24
 * bytes.
 * @throws NetlinkError ENODEV when the name is too long for any link
 */
export const interfaceRequest = (name: string): Buffer => {
  const request = Buffer.alloc(IFNAMSIZ + 24);
  const bytes = Buffer.from(name);
  if (bytes.length >= IFNAMSIZ) throw new NetlinkError(constants.errno.ENODEV, `find link ${name}`);
  bytes.copy(request);
  return request;
};

/**
 * Returns the index of the link of that name in the namespace of the socket.
 * @throws NetlinkError ENODEV when no such link exists
 */
export const linkIndex = (fd: number, name: string): number => {
  const request = interfaceRequest(name);
  ioctl(fd, SIOCGIFINDEX, request, `find link ${name}`);
  return request.readInt32LE(IFNAMSIZ);
};

/**
 * Builds a struct sockaddr_ll of linux/if_packet.h. Numbers are little-endian, as the machine's,
 * except the protocol, which is big-endian. A raw socket that only sends needs just the family and
 * the link.
 */
export const linkAddress = (index: number, protocol = 0): Buffer => {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(protocol, 2);
  address.writeInt32LE(index, 4);
  return address;
};

/**
 * Returns the memory address of a buffer, for structures that point to it. The caller keeps the
 * buffer alive.
 */
export const pointerTo = (buffer: Buffer): bigint => koffi.address(buffer);
export const POINTER_SIZE = koffi.sizeof('void *');
