/**
 * `npm run deb` makes the Debian package of dist/.
 *
 *     npm run deb                        packages/cellnet_VERSION_ARCHITECTURE.deb
 *     npm run deb -- --out FOLDER --dist FOLDER
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { missingParts } from './copyright.ts';
import { maintainerOf, makeDeb } from './deb.ts';

const ROOT = join(import.meta.dirname, '..');

function main(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      out: { type: 'string', default: join(ROOT, 'packages') },
      dist: { type: 'string', default: join(ROOT, 'dist') },
    },
  });
  const dist = resolve(values.dist);
  const missing = missingParts(dist);
  if (missing.length > 0) throw new Error(`'${dist}' lacks ${missing.join(', ')}: run npm run build first`);
  const { SOURCE_DATE_EPOCH: given } = process.env;
  const epoch = given === undefined || given === '' ? undefined : Number(given);
  if (epoch !== undefined && !Number.isSafeInteger(epoch))
    throw new Error(`SOURCE_DATE_EPOCH is '${given ?? ''}': expected seconds since 1970`);
  const tree = mkdtempSync(join(tmpdir(), 'cellnet-deb-'));
  try {
    const made = makeDeb({
      ...{ dist, tree, out: resolve(values.out), arch: process.arch, maintainer: maintainerOf(process.env) },
      ...(epoch !== undefined && { epoch }),
    });
    process.stdout.write(`made ${made.file}\n`);
    if (made.lacks.length > 0)
      process.stderr.write(`without ${made.lacks.join(' and ')}: dist/share has none\n`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm run deb: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
