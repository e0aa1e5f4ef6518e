import { DEFAULT_AGENT } from '../../ipam/settings/settings.ts';
import { isSocketPath } from '../../ipam/settings/socket-path.ts';
import type { Input } from '../protocol/invocation.ts';
import { sharedSettings } from '../protocol/settings.ts';

/**
 * Returns the path of the agent's socket that the call names, false for no agent, or undefined when
 * it names none. As for every key, the environment wins over the inline configuration, and that
 * over the shared file. This function ignores invalid input: the process that serves the call
 * reports it.
 */
export function namedAgent({ env, stdin, sharedConfig }: Input): string | false | undefined {
  const variable = env['CELLNET_AGENT'];
  if (variable) return variable === 'false' ? false : variable;
  // Most configurations do not name it, and need not be parsed for that.
  const inline = /agent|\\u/.test(stdin) ? agentKeyOf(() => JSON.parse(stdin) as unknown) : undefined;
  if (inline !== undefined) return inline;
  return agentKeyOf(() => sharedSettings(sharedConfig));
}

/** Returns the path of the agent's socket for this call, or false for no agent. */
export function agentOf(input: Input): string | false {
  const path = namedAgent(input) ?? DEFAULT_AGENT;
  return path !== false && isSocketPath(path) && path;
}

function agentKeyOf(read: () => unknown): string | false | undefined {
  try {
    const { agent } = read() as { agent?: unknown };
    return agent === false || (typeof agent === 'string' && agent !== '') ? agent : undefined;
  } catch {
    return undefined;
  }
}
