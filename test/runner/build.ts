/**
 * Compiles test files, with all they import of the sources, to JavaScript. A process then loads
 * them without tsx, which takes a second of the processors to hand a process of a system test its
 * few hundred modules, one by one.
 */
import { build, stop, type Plugin } from 'esbuild';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = join(import.meta.dirname, '../..');

/** One folder for each process that builds. Node finds the packages from there. */
const FOLDER = join(ROOT, 'node_modules/.cache/tests');

export interface BuiltFiles {
  /** Returns the compiled form of one of the files. */
  pathOf(file: string): string;
  remove(): Promise<void>;
}

/**
 * Compiles the files. Modules that several of them import are shared, so a process has each module
 * once. Stacks name the sources where Node runs with `--enable-source-maps`.
 * @param files absolute paths
 * @throws Error when esbuild refuses a file
 */
export const buildFiles = async (files: readonly string[]): Promise<BuiltFiles> => {
  await removeStale();
  const folder = join(FOLDER, String(process.pid));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await build({
      entryPoints: [...files],
      outdir: folder,
      outbase: ROOT,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      // Names of functions and classes are as in the sources.
      keepNames: true,
      sourcemap: 'linked',
      sourcesContent: false,
      outExtension: { '.js': '.mjs' },
      logLevel: 'silent',
      define: ASKED,
      plugins: [sourcePlaces],
    });
  } catch (error) {
    await remove();
    throw error;
  } finally {
    // The service of esbuild would count as a process that a test left behind.
    await stop();
  }
  return { pathOf: (file) => join(folder, relative(ROOT, file).replace(/\.ts$/, '.mjs')), remove };
};

/** Removes what runs left that were killed. */
const removeStale = async (): Promise<void> => {
  await mkdir(FOLDER, { recursive: true });
  const stale = (await readdir(FOLDER)).filter((pid) => !existsSync(`/proc/${pid}`));
  await Promise.all(stale.map((pid) => rm(join(FOLDER, pid), { recursive: true, force: true })));
};

/** What a module asks of its own place is answered by its source's: esbuild renames these. */
const PLACES = ['dirname', 'filename', 'url'] as const;
const constantOf = (place: string): string => `source_${place}`;
const ASKED = Object.fromEntries(PLACES.map((place) => [`import.meta.${place}`, constantOf(place)]));

/** Declares the constants that ASKED names, on the first line: the others keep their numbers. */
const sourcePlaces: Plugin = {
  name: 'source-places',
  setup: (bundling) => {
    bundling.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      if (!text.includes('import.meta.')) return undefined;
      const values = { dirname: dirname(path), filename: path, url: pathToFileURL(path).href };
      const constants = PLACES.map(
        (place) => `const ${constantOf(place)} = ${JSON.stringify(values[place])};`,
      );
      return { contents: `${constants.join(' ')} ${text}`, loader: 'ts' };
    });
  },
};
