import { existsSync } from 'node:fs';
import { agentOf } from './agent/path.ts';
import { hostPlatform } from './host/host-platform.ts';
import { readShared } from './host/shared-config.ts';
import type { Platform } from './platform/platform.ts';
import type { Input, Output, Plugin } from './protocol/invocation.ts';
import { dispatch, failure } from './verbs/dispatch.ts';

/** Runs one call of a plugin with this process's environment, standard input and output, and ends the process. */
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
    // Reading the input failed: nothing was begun.
    const output = failure('', error);
    process.exitCode = (await writeAll(output.stdout)) ? output.exitCode : 1;
  }
  await platform.log.flush();
  // Connections that are closing, and sockets of the addons, must not keep the runtime waiting.
  process.exit();
}

/** Undefined where no agent answers: then this process does it by itself, with the same result. */
async function byAgent(plugin: Plugin, input: Input): Promise<Output | undefined> {
  const path = agentOf(input);
  if (path === false || !existsSync(path)) return undefined;
  const { askAgent } = await import('./agent/client.ts');
  return await askAgent(path, { plugin, env: input.env, stdin: input.stdin });
}

async function readInput(): Promise<Input> {
  return { env: process.env, stdin: await readStdin(), sharedConfig: readShared(process.env) };
}

/** As a stream: the runtime's pipe may be non-blocking, and then a synchronous read fails with EAGAIN under load. */
async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Resolves when the runtime's pipe has taken all of it; false where it cannot: then nobody has got the reply. */
function writeAll(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.once('error', () => resolve(false));
    process.stdout.write(text, (error) => resolve(!error));
  });
}
