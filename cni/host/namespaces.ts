import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Namespaces } from '../platform/platform.ts';

/** Codes of what is not there; anything else means that nobody could look. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ESRCH', 'ELOOP', 'ENAMETOOLONG'];

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ABSENT.includes(String(error.code));

/** Namespaces of this host, by files alone: device and inode identify one while it lives (namespaces(7)). */
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

/** Whether a process lives in the namespace, or a mount keeps it. If this process cannot look, the answer is yes. */
function isHeldElsewhere(id: string): boolean {
  const name = `net:[${id.split(':')[1] ?? ''}]`;
  try {
    if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${name} `)) return true;
    // 1 is init, which is in no pod; a sandbox may keep it from being looked at.
    return readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && pid !== '1' && namespaceOf(pid) === name);
  } catch {
    return true;
  }
}

/** Undefined of a process that has ended, or is ending: a zombie has no namespace any more. */
function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
