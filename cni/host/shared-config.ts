import { readRegularFile } from '../../ipam/files/regular-file.ts';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { DEFAULT_CONFIG_FILE } from '../../ipam/settings/settings.ts';
import { CniError } from '../protocol/errors.ts';
import type { SharedConfig } from '../protocol/invocation.ts';
import type { Environment } from '../protocol/request.ts';

/**
 * Reads the shared configuration file for each call, so that a change of the file counts at once.
 * Returns undefined when the default file is absent. Never throws: a DEL goes on without the file.
 */
export function readShared(env: Environment): SharedConfig | undefined {
  const file = env['CELLNET_CONFIG'] || DEFAULT_CONFIG_FILE;
  try {
    return { file, content: readRegularFile(file).toString('utf8') };
  } catch (error) {
    if (hasCode(error, 'ENOENT') && file === DEFAULT_CONFIG_FILE) return undefined;
    return { file, failure: unreadable(file, error) };
  }
}

function unreadable(file: string, cause: unknown): CniError {
  return new CniError(
    'io-failure',
    `the shared configuration file ${file} cannot be read: ${messageOf(cause)}`,
    'Put a regular file there, or name another one in CELLNET_CONFIG.',
    { cause },
  );
}
