import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { suite, test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';

interface Prose {
  readonly columns: number;
  readonly words: readonly { readonly pattern: string; readonly instead: string }[];
}

/** test/prose.mjs holds the comments to the same file. */
const { columns, words } = JSON.parse(readFileSync(join(REPOSITORY, 'test/prose.json'), 'utf8')) as Prose;

/** Returns the lines of prose with their numbers: no code (fenced or indented), no tables. */
const proseOf = (text: string): { readonly number: number; readonly line: string }[] => {
  let isCode = false;
  return text.split('\n').flatMap((line, i) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) isCode = !isCode;
    return isFence || isCode || /^( {4}|\s*\|)/.test(line) ? [] : [{ number: i + 1, line }];
  });
};

const faultsOf = (line: string): string[] => {
  const spoken = line.replace(/`[^`]*`/g, '``');
  // A line that cannot be broken, as a link or one long name, is as long as it is.
  const breakable = line
    .trim()
    .replace(/^(?:[-*>]|\d+\.) /, '')
    .includes(' ');
  return [
    ...(line.length > columns && breakable ? [`${line.length} columns: at most ${columns}`] : []),
    ...words.flatMap(({ pattern, instead }) => {
      const found = new RegExp(pattern, 'u').exec(spoken)?.[0];
      return found === undefined ? [] : [`'${found.trim()}': write ${instead}`];
    }),
  ];
};

const documents = [
  ...['README.md', 'CHANGELOG.md'].map((file) => join(REPOSITORY, file)),
  ...readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join(REPOSITORY, 'docs', file)),
];

suite('prose of the documents', () => {
  test('the check itself finds what it should', () => {
    assert.deepEqual(faultsOf('The agent asks again.'), []);
    assert.deepEqual(faultsOf('Whoever: Who asks, he asks `anew`.').length, 2);
    assert.deepEqual(faultsOf(`a ${'b'.repeat(columns)}`), [`${columns + 2} columns: at most ${columns}`]);
    assert.deepEqual(
      proseOf('a\n```\nb\n```\n| c |\nd').map(({ line }) => line),
      ['a', 'd'],
    );
  });

  for (const file of documents)
    test(`${relative(REPOSITORY, file)}: lines of at most ${columns} columns, and plain words`, () => {
      const faults = proseOf(readFileSync(file, 'utf8')).flatMap(({ number, line }) =>
        faultsOf(line).map((fault) => `line ${number}: ${fault}`),
      );
      assert.deepEqual(faults, []);
    });
});
