import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { checkTarget, readIfThere, replaceFile } from '../../../cnictl/context/files.ts';

suite('a file that is written', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellnet-files-'));
    mkdirSync(join(dir, 'folder'));
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    symlinkSync('/dev/null', join(dir, 'to-device'));
  });
  after(() => rmSync(dir, { recursive: true }));

  test('is new or replaces a regular one, with nothing beside it', () => {
    const file = join(dir, 'folder', 'report.json');
    checkTarget(file);
    for (const text of ['one', 'two']) {
      replaceFile(file, text);
      assert.equal(readFileSync(file, 'utf8'), text);
    }
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(dir, 'folder')), ['report.json']);
  });

  test('stays behind the link that leads to it', () => {
    writeFileSync(join(dir, 'real'), 'old');
    symlinkSync('real', join(dir, 'link'));
    replaceFile(join(dir, 'link'), 'new');
    assert.equal(readFileSync(join(dir, 'real'), 'utf8'), 'new');
  });

  const refused: [what: string, path: () => string, reason: string][] = [
    ['a device', () => '/dev/null', 'it is a device'],
    ['a device behind a link', () => join(dir, 'to-device'), 'it is a device'],
    ['a folder', () => join(dir, 'folder'), 'it is a folder'],
    ['a named pipe', () => join(dir, 'pipe'), 'it is a named pipe'],
    ['in no folder', () => join(dir, 'none', 'x'), 'no such file or directory'],
    ['below a file', () => join(import.meta.filename, 'x'), 'not a directory'],
    ['a name too long', () => join(dir, 'x'.repeat(300)), 'name too long'],
  ];
  for (const [what, path, reason] of refused) {
    test(`${what}: one line with the path and the reason, and nothing is changed`, () => {
      const before = readdirSync(dir);
      const error = { name: 'CommandError', message: `'${path()}' cannot be written: ${reason}` };
      assert.throws(() => checkTarget(path()), error);
      assert.throws(() => replaceFile(path(), 'x'), error);
      assert.deepEqual(readdirSync(dir), before);
      assert.ok(statSync('/dev/null').isCharacterDevice());
    });
  }

  test('and one that is read: absent is undefined, a folder an error in words', () => {
    assert.equal(readIfThere(join(dir, 'absent')), undefined);
    assert.throws(() => readIfThere(join(dir, 'folder')), {
      message: `'${join(dir, 'folder')}' cannot be read: illegal operation on a directory`,
    });
  });
});
