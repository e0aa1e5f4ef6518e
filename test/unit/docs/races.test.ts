import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../../..');

test('docs/tested-races.md lists every race that is tested under one name, and no other', () => {
  const source = ['races', 'races-trouble']
    .map((name) => readFileSync(join(root, `test/system/cnictl/${name}.test.ts`), 'utf8'))
    .join('');
  const docs = readFileSync(join(root, 'docs/tested-races.md'), 'utf8');
  const listed = [...docs.matchAll(/^- (.*(?:\n {2}.*)*)$/gm)].map(([, name = '']) =>
    name.replace(/\s+/g, ' '),
  );
  const plain = [...source.matchAll(/test\('(.*?)', async/g)].map(([, name]) => name ?? '');
  assert.ok(plain.length > 10);
  assert.deepEqual(
    plain.filter((name) => !listed.includes(name)),
    [],
  );
  // A test with several variants has one line in the docs.
  const templates = [...source.matchAll(/test\(`(.*?)`, async/g)].map(([, name = '']) =>
    name.split('${what}'),
  );
  const others = listed.filter((name) => !plain.includes(name));
  assert.equal(others.length, templates.length);
  for (const [before = '', after = ''] of templates)
    assert.ok(
      others.some((name) => name.startsWith(before) && name.endsWith(after)),
      `${before}…${after}`,
    );
});
