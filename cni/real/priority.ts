import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/**
 * Niceness of the agent (setpriority(2)). Open vSwitch's own scripts run its two daemons with -10, and vswitchd walks over all its ports for each change of
 * a link that it hears of: whatever it lets wait comes in a later walk. Above it, more ports of a burst come into one.
 */
export const NICENESS = -15;

/**
 * Raises the priority of this process, which Linux counts for each thread by itself: those of V8 that are there already, too. Where somebody has set
 * one, as a service manager, it stays.
 * @throws SystemError EACCES without CAP_SYS_NICE
 */
export function raisePriority(): void {
  if (getPriority() !== 0) return;
  for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), NICENESS);
}
