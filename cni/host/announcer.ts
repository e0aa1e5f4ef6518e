import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LaterAnnouncement } from '../platform/platform.ts';

/** Beside the bundle of the plugin. */
const PROGRAM = 'cellnet-announce.js';

/**
 * Sends the remaining announcements from a process of its own, which outlives this one: the runtime waits for the
 * plugin's end, and a pod should not wait for its neighbours' caches. What it fails at is not told: the first
 * announcement, by the kernel, has gone out.
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
