import assert from 'node:assert/strict';
import { linkSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { FileCache } from '../../../cni/host/file-cache.ts';

suite('the cache of record files', () => {
  const folder = (t: TestContext): string => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-cache-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
  };
  const replace = (path: string, text: string): void => {
    writeFileSync(`${path}.tmp`, text);
    renameSync(`${path}.tmp`, path);
  };
  const refuse = (): never => assert.fail('the file was read');

  test('reads a file once, however many names it gets, and again when it was replaced', (t) => {
    const path = join(folder(t), 'a.json');
    const cache = new FileCache<string>(2);
    replace(path, 'one');
    assert.equal(
      cache.get(path, () => 'one'),
      'one',
    );
    linkSync(path, `${path}.link`);
    assert.equal(cache.get(path, refuse), 'one');
    replace(path, 'two');
    assert.equal(
      cache.get(path, () => 'two'),
      'two',
    );
  });

  test('knows what was added, and nothing of a file that is gone', (t) => {
    const path = join(folder(t), 'a.json');
    const cache = new FileCache<string>(2);
    replace(path, 'one');
    cache.add(path, 'one');
    assert.equal(cache.get(path, refuse), 'one');
    rmSync(path);
    assert.equal(cache.get(path, refuse), undefined);
  });

  test('forgets the oldest beyond its size, and keeps nothing that could not be read', (t) => {
    const dir = folder(t);
    const cache = new FileCache<string>(2);
    const paths = ['a', 'b', 'c'].map((name) => join(dir, name));
    for (const path of paths) {
      replace(path, path);
      cache.add(path, path);
    }
    const [oldest = '', ...rest] = paths;
    for (const path of rest) assert.equal(cache.get(path, refuse), path);
    let reads = 0;
    const unreadable = (): undefined => {
      reads++;
      return undefined;
    };
    cache.get(oldest, unreadable);
    cache.get(oldest, unreadable);
    assert.equal(reads, 2);
  });

  test('leaves it to the reader to tell why a file cannot be looked at', (t) => {
    const file = join(folder(t), 'file');
    writeFileSync(file, '');
    const cache = new FileCache<string>(2);
    assert.equal(
      cache.get(join(file, 'below'), () => 'told'),
      'told',
    );
  });
});
