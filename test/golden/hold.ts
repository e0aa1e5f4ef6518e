import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const EXPECTED = join(import.meta.dirname, 'expected');

/** Compares a text with its file. `npm run golden` rewrites the files; review their diff. */
export function hold(name: string, text: string): void {
  const file = join(EXPECTED, `${name.replaceAll(/[^a-z0-9.-]+/gi, '-')}.txt`);
  if (process.env['UPDATE_GOLDEN']) {
    mkdirSync(EXPECTED, { recursive: true });
    writeFileSync(file, text);
  }
  assert.equal(text, readFileSync(file, 'utf8'), `differs from ${file}; npm run golden writes it anew`);
}
