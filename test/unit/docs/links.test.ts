import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { anchorsOf, DOCUMENTS, linksOf, readDocument } from '../../support/documents.ts';

const INDEX = 'docs/operations.md';
const PAGES = DOCUMENTS.filter((document) => document.startsWith('docs/operations/'));

/** Says what is wrong with the links of a document. */
function deadLinks(document: string, text = readDocument(document)): string[] {
  return linksOf(document, text).flatMap(({ target, path, anchor }) => {
    if (path !== document && !existsSync(join(REPOSITORY, path))) return [`${target}: there is no ${path}`];
    if (anchor === undefined) return [];
    const own = path === document ? text : readDocument(path);
    return anchorsOf(own).has(anchor) ? [] : [`${target}: ${path} has no heading for it`];
  });
}

suite('links of the documents', () => {
  test('the check itself finds what it should', () => {
    const text =
      '# A page\n\n## Two words, `code`\n\n## A page\n\n[a](#two-words-code) [b](#a-page-1)\n\n    [c](none.md)\n';
    assert.deepEqual([...anchorsOf(text)], ['a-page', 'two-words-code', 'a-page-1']);
    assert.deepEqual(deadLinks('docs/a.md', text), []);
    const dead =
      '# A\n\n[a](#b) [b](none.md) [c](errors.md#none), `[d](none.md)`, [e](https://x.y/none.md)\n';
    assert.equal(deadLinks('docs/a.md', dead).length, 3);
    // Text that goes on is no code, however far it is indented.
    assert.equal(deadLinks('docs/a.md', '- an item\n    [a](none.md)\n').length, 1);
  });

  for (const document of DOCUMENTS)
    test(`${document}: every link leads to a file, and every anchor to a heading`, () => {
      assert.deepEqual(deadLinks(document), []);
    });
});

suite('pages for operators', () => {
  test('the index leads to every page, and there is one', () => {
    const reached = new Set(linksOf(INDEX, readDocument(INDEX)).map(({ path }) => path));
    assert.ok(PAGES.length > 20);
    assert.deepEqual(
      PAGES.filter((page) => !reached.has(page)),
      [],
    );
  });

  test('each begins with its title and a line that says what it is for', () => {
    for (const page of PAGES) assert.match(readDocument(page), /^# .+\n\n[A-Z][^\n|]+\.\n\n/, page);
  });

  test('each says how to undo what it does, unless it does nothing', () => {
    const looking = ['address', 'doctor', 'leaks-walk', 'limits', 'versions'];
    const doing = PAGES.filter((page) => !looking.some((name) => page.endsWith(`/${name}.md`)));
    assert.deepEqual(
      doing.filter((page) => !/undo/i.test(readDocument(page))),
      [],
    );
  });

  test('each alert leads to a page', () => {
    const rules = readFileSync(join(REPOSITORY, 'docs/examples/cellnet.rules.yaml'), 'utf8');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name);
    const [, table = ''] = readDocument('docs/operations/metrics.md').split('| alert | page |');
    assert.ok(alerts.length > 10);
    assert.deepEqual(
      [...table.matchAll(/`(Cellnet\w+)`/g)].map(([, name = '']) => name).sort(),
      alerts.sort(),
    );
  });
});

/** Returns the pages that a text names, with the headings that it quotes behind them. */
const namedIn = (text: string): { readonly path: string; readonly heading: string | undefined }[] =>
  [...text.matchAll(/\b(docs\/[\w/.-]+\.(?:md|sh|yaml|json))(?:, "([^"]+)")?/g)].map(
    ([, path = '', heading]) => ({ path, heading }),
  );

test('every page that a message, a comment or an example names exists, with the heading it quotes', () => {
  const files = ['ipam', 'cni', 'cnictl', 'docs/examples', 'test'].flatMap((folder) =>
    readdirSync(join(REPOSITORY, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|c|h|sh|yaml|txt)$|Dockerfile$/.test(file))
      .map((file) => join(folder, file)),
  );
  const dead = files.flatMap((file) =>
    namedIn(readFileSync(join(REPOSITORY, file), 'utf8'))
      .filter(({ path, heading }) => {
        if (!existsSync(join(REPOSITORY, path))) return true;
        return heading !== undefined && !readDocument(path).includes(`# ${heading}\n`);
      })
      .map(({ path, heading = '' }) => `${file}: ${path} ${heading}`),
  );
  assert.deepEqual(
    dead.filter((each) => !each.startsWith('test/unit/docs/links.test.ts')),
    [],
  );
});
