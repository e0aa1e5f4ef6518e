import { readdirSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/**
 * Niceness of the agent (setpriority(2)). vswitchd, to which Open vSwitch's own scripts give -10, walks over all its ports for each change of a link that it
 * hears of: whatever it lets wait comes in a later walk. Above it, more ports of a burst come into one.
 */
export const NICENESS = -15;

/**
 * Raises the priority of this process, unless somebody, as a service manager, has set one. Linux counts it for each thread by itself: those of V8 that are
 * there already, too; and first of all for the session, where sessions share the processor (sched(7), "The autogroup feature"). In a cgroup of its own with the
 * cpu controller only the weight of that counts, which is not ours to set.
 * @throws Error EACCES without CAP_SYS_NICE
 */
export function raisePriority(): void {
  if (getPriority() !== 0) return;
  setPriority(NICENESS);
  for (const thread of readdirSync('/proc/self/task'))
    ifPossible(() => setPriority(Number(thread), NICENESS));
  ifPossible(() => writeFileSync('/proc/self/autogroup', `${NICENESS}`));
}

/** A thread may have ended meanwhile, and a kernel may know no sessions. */
function ifPossible(work: () => void): void {
  try {
    work();
  } catch {
    // What was possible is done.
  }
}
