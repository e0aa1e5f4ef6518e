import { readFileSync, writeSync } from 'node:fs';
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
    const output = await dispatch(plugin, readInput(), () => Promise.resolve(change(parts)));
    writeAll(output.stdout);
    process.exitCode = output.exitCode;
  } catch (error) {
    // Reading the input failed: nothing was begun.
    const { code, message } = toCniError(error);
    writeAll(JSON.stringify({ cniVersion: '1.1.0', code, msg: message }));
    process.exitCode = 1;
  }
  await parts.log.flush();
  // Connections that are closing, and sockets of the addons, must not keep the runtime waiting.
  process.exit();
}

function readInput(): Input {
  const file = process.env['CELLNET_CONFIG'] || DEFAULT_CONFIG_FILE;
  const optional = file === DEFAULT_CONFIG_FILE;
  return { env: process.env, stdin: readStdin(), sharedConfig: readShared(file, optional) };
}

/** VERSION and DEL may come without any. */
function readStdin(): string {
  return process.stdin.isTTY ? '' : readFileSync(0, 'utf8');
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

/** A pipe takes no more than it has room for at once. */
function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}
