import { parseSharedConfig } from '../../ipam/settings/settings.ts';
import { CommandError } from '../context/errors.ts';
import type { Look } from '../context/file-access.ts';
import type { Step } from './steps.ts';

/** It may name secrets, and only root needs it. */
const MODE = 0o600;

/**
 * Returns the content of this node's shared configuration: that of a file for all nodes, with the
 * node's name.
 * @param nodeName undefined: the content stays as it is
 * @throws CommandError, IpamError `invalid` that names key and value
 */
export function sharedFileOf(file: string, nodeName: string | undefined, look: Pick<Look, 'read'>): string {
  const text = look.read(file);
  if (text === undefined) throw new CommandError(`--config-from '${file}' does not exist`);
  const { node } = parseSharedConfig(text, file);
  if (nodeName === undefined) return text;
  if (node !== undefined && node !== nodeName)
    throw new CommandError(
      `key 'node' of ${file} is "${node}", beside --node-name ${nodeName}: expected one of them`,
      'A file for several nodes names none.',
    );
  const named = { ...(JSON.parse(text) as Record<string, unknown>), node: nodeName };
  const content = `${JSON.stringify(named, null, 2)}\n`;
  parseSharedConfig(content, '--node-name');
  return content;
}

/**
 * Plans to write the shared configuration where it differs. A reader finds the former content or
 * the new one: without a file the programs would look for etcd on this node.
 */
export function planSharedFile(path: string, content: string | undefined, look: Pick<Look, 'read'>): Step[] {
  if (content === undefined || look.read(path) === content) return [];
  return [{ do: 'write', path, content, mode: MODE }];
}
