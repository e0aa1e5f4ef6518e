import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { readDocument } from '../../support/documents.ts';

const FOLDER = join(REPOSITORY, 'test/system/services');

/** Returns what matches the names of the tests in a file. `${…}` stands for any text. */
const namesIn = (text: string): RegExp[] =>
  [...text.matchAll(/\btest\(\s*(['"`])(.+?)\1,/g)].map(([, , name = '']) => {
    const parts = name.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('.+')}$`);
  });

/** Returns the names in the last column of the table. */
const namedIn = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => [...(line.split('|').at(-2) ?? '').matchAll(/`([^`]+)`/g)])
    .map(([, name = '']) => name);

suite('docs/services.md', () => {
  test('the check itself finds what it should', () => {
    const names = namesIn("test('a, b', () => {});\ntest(`one ${where}, so`, async () => {});");
    const isNamed = (name: string): boolean => names.some((each) => each.test(name));
    assert.deepEqual(['a, b', 'one on top, so', 'a', 'one'].map(isNamed), [true, true, false, false]);
    assert.deepEqual(namedIn('| `a` | `b`, `c d` |\n`e`\n'), ['b', 'c d']);
  });

  test('each test that the table names exists', () => {
    const names = readdirSync(FOLDER)
      .filter((file) => file.endsWith('.test.ts'))
      .flatMap((file) => namesIn(readFileSync(join(FOLDER, file), 'utf8')));
    const named = namedIn(readDocument('docs/services.md'));
    assert.ok(named.length > 20);
    assert.deepEqual(
      named.filter((name) => !names.some((each) => each.test(name))),
      [],
    );
  });
});
