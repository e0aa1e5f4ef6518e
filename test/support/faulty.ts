/** Builds an executable from faulty-plugin.ts, the plugin that fails at a chosen step. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { REPOSITORY } from './cni.ts';

/**
 * Returns the path of an executable `cellnet` below `dir`. esbuild bundles the sources:
 * transforming some two hundred files at every start would take as long as the rest of a call.
 * Packages stay in node_modules.
 */
export const makeFaultyPlugin = async (dir: string): Promise<string> => {
  const bundle = join(dir, 'faulty-plugin.cjs');
  await build({
    entryPoints: [join(REPOSITORY, 'test/support/faulty-plugin.ts')],
    outfile: bundle,
    bundle: true,
    packages: 'external',
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    define: { 'import.meta.dirname': '__dirname' },
    logLevel: 'error',
  });
  const program = join(dir, 'cellnet');
  const packages = join(REPOSITORY, 'node_modules');
  await writeFile(program, `#!/bin/sh\nNODE_PATH='${packages}' exec '${process.execPath}' '${bundle}'\n`);
  await chmod(program, 0o755);
  return program;
};
