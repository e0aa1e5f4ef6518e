import { existsSync } from 'node:fs';
import { agentOf } from './agent/path.ts';
import { hostPlatform } from './host/host-platform.ts';
import { readShared } from './host/shared-config.ts';
import type { Platform } from './platform/platform.ts';
import type { Input, Output, Plugin } from './protocol/invocation.ts';
import { dispatch, failure } from './verbs/dispatch.ts';

/**
 * Runs one call of a plugin with this process's environment, standard input and output, then ends
 * the process.
 * @param change lets a test replace the platform of a call that no agent serves
 */
export async function runPlugin(
  plugin: Plugin,
  change: (platform: Platform) => Platform = (platform) => platform,
): Promise<void> {
  const platform = hostPlatform(process.env, plugin);
  try {
    const input = await readInput();
    const output =
      (await byAgent(plugin, input)) ??
      (await dispatch(plugin, input, () => Promise.resolve(change(platform))));
    process.exitCode = (await writeAll(output.stdout)) ? output.exitCode : 1;
  } catch (error) {
    // Reading the input failed before the call began, or the agent did not answer in time.
    const output = failure('', error);
    process.exitCode = (await writeAll(output.stdout)) ? output.exitCode : 1;
  }
  await platform.log.flush();
  // Closing connections and the sockets of the addons must not keep the runtime waiting.
  process.exit();
}

/**
 * Returns the agent's reply, or undefined when no agent answers. This process then serves the call,
 * with the same result.
 * @throws CniError 11 when the agent does not answer in time
 */
async function byAgent(plugin: Plugin, input: Input): Promise<Output | undefined> {
  const path = agentOf(input);
  if (path === false || !existsSync(path)) return undefined;
  const { askAgent } = await import('./agent/client.ts');
  return await askAgent(path, { plugin, env: input.env, stdin: input.stdin });
}

async function readInput(): Promise<Input> {
  return { env: process.env, stdin: await readStdin(), sharedConfig: readShared(process.env) };
}

/**
 * Reads standard input as a stream. The runtime's pipe may be non-blocking, and a synchronous read
 * then fails with EAGAIN under load.
 */
async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Resolves to true when the runtime's pipe has taken the whole text, to false when it fails. */
function writeAll(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.once('error', () => resolve(false));
    process.stdout.write(text, (error) => resolve(!error));
  });
}
