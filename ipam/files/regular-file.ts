import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';

/** In bytes. Settings, certificates and passwords are shorter. */
const LONGEST = 4 << 20;

/**
 * Reads a file of settings or credentials. Anything but a regular file is refused: to read a named
 * pipe or a device can block the whole process, and the agent serves all calls of its node.
 * @throws Error with the system's `code`, whose message names the path
 */
export function readRegularFile(path: string): Buffer {
  // Without O_NONBLOCK, opening a named pipe waits for its writer.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw refusal(`${path} is ${kindOf(stats)}: expected a regular file`);
    if (stats.size > LONGEST)
      throw refusal(`${path} has ${stats.size} bytes: expected at most ${LONGEST} bytes`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

const refusal = (message: string): Error => Object.assign(new Error(message), { code: 'EINVAL' });

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  return stats.isFIFO() ? 'a named pipe' : 'a device';
}
