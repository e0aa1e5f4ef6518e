import type { World } from './world.ts';

/** Who runs this program, for the history: `alice@admin-1`, also behind sudo; the host alone where nothing names a user. */
export function operatorOf({ env, hostname }: Pick<World, 'env' | 'hostname'>): string {
  const user = env['SUDO_USER'] || env['USER'] || undefined;
  return user === undefined ? hostname : `${user}@${hostname}`;
}
