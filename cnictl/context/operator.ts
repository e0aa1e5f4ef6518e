import type { World } from './world.ts';

/**
 * Names the user of this program for the history: `alice@admin-1`, also behind sudo. Without a
 * user, returns the host.
 */
export function operatorOf({ env, hostname }: Pick<World, 'env' | 'hostname'>): string {
  const user = env['SUDO_USER'] || env['USER'] || undefined;
  return user === undefined ? hostname : `${user}@${hostname}`;
}
