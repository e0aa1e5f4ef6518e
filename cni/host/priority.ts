import { readdirSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/**
 * Niceness of the agent (setpriority(2)). Open vSwitch's own scripts start vswitchd with -10.
 * vswitchd walks over all its ports for each change of a link, and a port that comes too late waits
 * for a later walk. With a higher priority, the agent gets more ports of a burst into one walk.
 */
export const NICENESS = -15;

/**
 * Raises the priority of this process, unless a service manager or the operator has set one. Linux
 * keeps a niceness for each thread, so this function also sets that of the existing V8 threads. It
 * sets that of the session too, which counts first where sessions share the processor (sched(7),
 * "The autogroup feature"). In a cgroup of its own with the cpu controller, only the weight of the
 * cgroup counts, which the agent does not set.
 * @throws Error EACCES without CAP_SYS_NICE
 */
export function raisePriority(): void {
  if (getPriority() !== 0) return;
  setPriority(NICENESS);
  for (const thread of readdirSync('/proc/self/task'))
    ifPossible(() => setPriority(Number(thread), NICENESS));
  ifPossible(() => writeFileSync('/proc/self/autogroup', `${NICENESS}`));
}

/** Ignores failures: a thread may have ended meanwhile, and a kernel may lack autogroups. */
function ifPossible(work: () => void): void {
  try {
    work();
  } catch {
    // The priority only affects speed.
  }
}
