import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import { isSocketPath } from '../../ipam/settings/socket-path.ts';
import type { Input } from '../protocol/invocation.ts';
import { sharedSettings } from '../protocol/settings.ts';

/**
 * Returns the path of the agent's socket for this call, or false for no agent. As for every key,
 * the environment wins over the inline configuration, and that over the shared file. This function
 * ignores invalid input: the process that serves the call reports it.
 */
export function agentOf(input: Input): string | false {
  const path = namedIn(input);
  return path !== false && isSocketPath(path) && path;
}

function namedIn({ env, stdin, sharedConfig }: Input): string | false {
  const variable = env['CELLNET_AGENT'];
  if (variable) return variable === 'false' ? false : variable;
  const inline = agentKeyOf(() => JSON.parse(stdin) as unknown);
  if (inline !== undefined) return inline;
  const file = agentKeyOf(() => sharedSettings(sharedConfig));
  return file ?? DEFAULT_AGENT;
}

function agentKeyOf(read: () => unknown): string | false | undefined {
  try {
    const { agent } = read() as { agent?: unknown };
    return agent === false || (typeof agent === 'string' && agent !== '') ? agent : undefined;
  } catch {
    return undefined;
  }
}
