import { readFileSync } from 'node:fs';
import { DEFAULT_CONFIG_FILE } from '../ipam/settings.ts';
import { dispatch, type Input, type Plugin } from './dispatch.ts';
import { toCniError } from './errors.ts';
import { realParts } from './real/parts.ts';
import type { Parts } from './parts.ts';

/** Runs one call of a plugin with this process's environment, standard input and output, and ends the process. */
export async function runPlugin(
  plugin: Plugin,
  change: (parts: Parts) => Parts = (parts) => parts,
): Promise<void> {
  const parts = realParts(process.env, plugin);
  try {
    const output = await dispatch(plugin, await readInput(), () => Promise.resolve(change(parts)));
    await writeAll(output.stdout);
    process.exitCode = output.exitCode;
  } catch (error) {
    // Reading the input failed: nothing was begun.
    const { code, message } = toCniError(error);
    await writeAll(JSON.stringify({ cniVersion: '1.1.0', code, msg: message }));
    process.exitCode = 1;
  }
  await parts.log.flush();
  // Connections that are closing, and sockets of the addons, must not keep the runtime waiting.
  process.exit();
}

async function readInput(): Promise<Input> {
  const file = process.env['CELLNET_CONFIG'] || DEFAULT_CONFIG_FILE;
  const optional = file === DEFAULT_CONFIG_FILE;
  return { env: process.env, stdin: await readStdin(), sharedConfig: readShared(file, optional) };
}

/** As a stream: the runtime's pipe may be non-blocking, and then a synchronous read fails with EAGAIN under load. */
async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function readShared(file: string, optional: boolean): Input['sharedConfig'] {
  try {
    return { content: readFileSync(file, 'utf8'), file };
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && optional) return undefined;
    throw error;
  }
}

/** Resolves when the runtime's pipe has taken all of it. */
function writeAll(text: string): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(text, () => resolve());
  });
}
