import { readFileSync } from 'node:fs';
import type { Platform } from '../platform/platform.ts';

/** Reads this boot of the node: proc(5), `/proc/sys/kernel/random/boot_id` and `/proc/uptime`. */
export function readBoot(): Pick<Platform, 'bootId' | 'bootedAt'> {
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    bootedAt: () => Date.now() - Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000,
  };
}
