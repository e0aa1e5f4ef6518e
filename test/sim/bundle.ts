import { build, type Plugin } from 'esbuild';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { compileFunction } from 'node:vm';
import type * as Simulator from './simulator.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A change of one file's text. */
export interface Edit {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly text: string;
  readonly replacement: string;
}

/** @throws Error unless the text stands in the source exactly once */
export function edited(source: string, { file, text, replacement }: Edit): string {
  const found = source.split(text).length - 1;
  if (found !== 1) throw new Error(`${file} has ${found} times: ${text}: expected once`);
  return source.replace(text, () => replacement);
}

/**
 * Loads the simulator with the programs that it runs, as modules of its own, with some texts
 * replaced. Nothing is written to the disk, and the programs need no switches for it.
 * @throws Error for a text that does not stand exactly once in its file, or a file that it lacks
 */
export async function loadSimulator(edits: readonly Edit[] = []): Promise<typeof Simulator> {
  const { plugin, left } = editing(edits);
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, 'test/sim/simulator.ts')],
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // Nothing of what uses it runs here.
    define: { 'import.meta.dirname': '""' },
    write: false,
    logLevel: 'silent',
    plugins: [plugin],
  });
  const [missing] = left;
  if (missing !== undefined) throw new Error(`${missing} is no part of what the simulator runs`);
  const [bundle] = outputFiles;
  const module = { exports: {} };
  const run = compileFunction(bundle?.text ?? '', ['module', 'exports', 'require']) as (
    ...given: unknown[]
  ) => void;
  run(module, module.exports, createRequire(import.meta.url));
  return module.exports as typeof Simulator;
}

/** Returns a plugin that makes the edits, and the files that it has not come across yet. */
function editing(edits: readonly Edit[]): { readonly plugin: Plugin; readonly left: ReadonlySet<string> } {
  const byPath = new Map<string, Edit[]>();
  for (const each of edits) {
    const path = join(ROOT, each.file);
    byPath.set(path, [...(byPath.get(path) ?? []), each]);
  }
  const left = new Set(byPath.keys());
  const plugin: Plugin = {
    name: 'edits',
    setup: (bundling) => {
      bundling.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const own = byPath.get(path);
        if (!own) return undefined;
        left.delete(path);
        return { contents: own.reduce(edited, readFileSync(path, 'utf8')), loader: 'ts' };
      });
    },
  };
  return { plugin, left };
}
