import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { readRegularFile } from '../../../ipam/files/regular-file.ts';

suite('a file of settings', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-files-'));
  const at = (name: string): string => join(dir, name);
  const socket = createServer();
  before(async () => {
    mkdirSync(at('folder'));
    execFileSync('mkfifo', [at('pipe')], { timeout: 5_000 });
    symlinkSync('loop', at('loop'));
    symlinkSync('pipe', at('to-pipe'));
    symlinkSync('file', at('to-file'));
    writeFileSync(at('file'), '{}');
    writeFileSync(at('long'), '');
    truncateSync(at('long'), 5 << 20);
    await new Promise<void>((resolve) => socket.listen(at('socket'), resolve));
  });
  after(() => {
    socket.close();
    rmSync(dir, { recursive: true, force: true });
  });

  for (const name of ['file', 'to-file']) {
    test(`${name} is read`, () => assert.equal(readRegularFile(at(name)).toString(), '{}'));
  }

  const refused: [name: string, code: string, message: RegExp][] = [
    ['absent', 'ENOENT', /absent'$/],
    ['folder', 'EINVAL', /folder is a folder: expected a regular file$/],
    ['loop', 'ELOOP', /loop'$/],
    ['pipe', 'EINVAL', /pipe is a named pipe: expected a regular file$/],
    ['to-pipe', 'EINVAL', /to-pipe is a named pipe/],
    ['socket', 'ENXIO', /socket'$/],
    ['long', 'EINVAL', /long has 5242880 bytes: expected at most 4194304 bytes$/],
    ['/dev/zero', 'EINVAL', /^\/dev\/zero is a device/],
  ];
  for (const [name, code, message] of refused) {
    test(`${name} is refused at once, by name`, () =>
      assert.throws(() => readRegularFile(name.startsWith('/') ? name : at(name)), { code, message }));
  }
});
