import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LaterAnnouncement } from '../platform/platform.ts';

/** File in the folder of the plugin's bundle. */
const PROGRAM = 'cellnet-announce.js';

/**
 * Sends the remaining announcements from a separate process that outlives this one. The runtime
 * waits for the plugin to exit, and a pod should not wait for its neighbours' caches. Failures go
 * unreported: the kernel has already sent the first announcement.
 */
export function announceLater(announcement: LaterAnnouncement): void {
  const program = join(import.meta.dirname, PROGRAM);
  if (!existsSync(program)) return;
  const child = spawn(process.execPath, [program, JSON.stringify(announcement)], {
    detached: true,
    stdio: 'ignore',
    env: {},
    cwd: '/',
  });
  child.on('error', () => undefined);
  child.unref();
}
