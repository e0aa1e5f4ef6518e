import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * Lets every other process have the processors first: this one, and those that it starts. The
 * kernel compares priorities within one session only, and whole sessions by the number of their
 * group (sched(7), "The autogroup feature").
 */
export function giveWay(): void {
  setPriority(constants.priority.PRIORITY_LOW);
  try {
    writeFileSync('/proc/self/autogroup', String(constants.priority.PRIORITY_LOW));
  } catch {
    // A kernel without groups of sessions compares all processes.
  }
}
