/** Compiles the C programs of this folder, each once. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A folder for the programs and what they read and write. It goes with this process. */
export const benchDir = mkdtempSync(join(tmpdir(), 'cellnet-bench-'));
process.on('exit', () => rmSync(benchDir, { recursive: true, force: true }));

const compiled = new Map<string, string>();

/** @returns the path of the program that `NAME.c` makes */
export function compiledProgram(name: string): string {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  const source = join(dirname(fileURLToPath(import.meta.url)), `${name}.c`);
  const program = join(benchDir, name);
  const { status, stderr, error } = spawnSync('cc', ['-O2', '-Wall', '-o', program, source], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${source} cannot be compiled: ${error?.message ?? stderr}`);
  compiled.set(name, program);
  return program;
}
