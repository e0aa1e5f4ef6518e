import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { hasCode } from '../../ipam/model/errors.ts';
import type { Namespaces } from '../platform/platform.ts';

/** Error codes of an absent path. Any other code means that this process cannot look. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ESRCH', 'ELOOP', 'ENAMETOOLONG'];

const isAbsent = (error: unknown): boolean => hasCode(error, ...ABSENT);

/**
 * Namespaces of this host, from files only. Device and inode identify a namespace while it lives
 * (namespaces(7)).
 */
export const hostNamespaces: Namespaces = {
  identify: (path) => {
    try {
      return idAt(path);
    } catch {
      return undefined;
    }
  },
  stateOf: (path, id, thorough) => {
    try {
      if (idAt(path) === id) return 'lives';
    } catch (error) {
      if (!isAbsent(error)) return 'lives';
    }
    return thorough && isHeldElsewhere(id) ? 'lives' : 'gone';
  },
};

function idAt(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}

/**
 * Whether a process lives in the namespace or a mount keeps it. Returns true when this process
 * cannot look.
 */
function isHeldElsewhere(id: string): boolean {
  const name = `net:[${id.split(':')[1] ?? ''}]`;
  try {
    if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${name} `)) return true;
    // Process 1 is init and in no pod. A sandbox may deny access to it.
    return readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && pid !== '1' && namespaceOf(pid) === name);
  } catch {
    return true;
  }
}

/** Returns undefined for a process that has ended, or a zombie: it has no namespace any more. */
function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
