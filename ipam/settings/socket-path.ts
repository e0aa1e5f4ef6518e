/** Longest path of a unix socket, in bytes: `sun_path` of unix(7) without its last NUL. */
const LONGEST_BYTES = 107;

/** For error messages, after "expected". */
export const SOCKET_PATH_FORM = `a socket path of at most ${LONGEST_BYTES} bytes`;

/** Whether the kernel takes the path. Node.js would cut a longer one and use another file. */
export const isSocketPath = (path: string): boolean => Buffer.byteLength(path) <= LONGEST_BYTES;
