import { readFileSync } from 'node:fs';
import { DEFAULT_CONFIG_FILE } from '../../ipam/settings/settings.ts';
import type { Input } from '../protocol/invocation.ts';
import type { Environment } from '../protocol/request.ts';

/**
 * Reads the shared configuration file for each call, so that a change of the file counts at once.
 * Returns undefined when the default file is absent.
 * @throws Error when the file cannot be read, or CELLNET_CONFIG names an absent file
 */
export function readShared(env: Environment): Input['sharedConfig'] {
  const file = env['CELLNET_CONFIG'] || DEFAULT_CONFIG_FILE;
  try {
    return { content: readFileSync(file, 'utf8'), file };
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && file === DEFAULT_CONFIG_FILE) return undefined;
    throw error;
  }
}
