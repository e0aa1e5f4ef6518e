import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { readShared } from '../../../cni/host/shared-config.ts';
import { dispatch } from '../../../cni/verbs/dispatch.ts';
import { CONFIG, ENV, reply, useFakeNode, type Reply } from './fake-platform.ts';

suite('a shared file that cannot be read', () => {
  const node = useFakeNode();
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-shared-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, 'folder'));
  symlinkSync('loop', join(dir, 'loop'));
  execFileSync('mkfifo', [join(dir, 'pipe')], { timeout: 5_000 });
  writeFileSync(join(dir, 'broken'), '{');

  const call = async (verb: string, file: string): Promise<Reply | undefined> => {
    const sharedConfig = readShared({ CELLNET_CONFIG: join(dir, file) });
    const input = { env: { ...ENV, CNI_COMMAND: verb }, stdin: JSON.stringify(CONFIG), sharedConfig };
    const output = await dispatch('cellnet', input, () => Promise.resolve(node.fake.platform()));
    return output.stdout === '' ? undefined : reply(output);
  };

  const odd: [file: string, code: number, reason: RegExp][] = [
    ['folder', 5, /folder is a folder: expected a regular file$/],
    ['loop', 5, /ELOOP/],
    ['pipe', 5, /pipe is a named pipe: expected a regular file$/],
    ['absent', 5, /ENOENT/],
    ['broken', 7, /is not JSON/],
  ];
  for (const [file, code, reason] of odd) {
    for (const verb of ['ADD', 'CHECK', 'STATUS']) {
      test(`${file}: ${verb} is refused, and told by its name`, async () => {
        const refused = await call(verb, file);
        assert.equal(refused?.code, code);
        assert.ok(refused.msg?.includes(join(dir, file)), refused.msg);
        assert.match(refused.msg ?? '', reason);
      });
    }

    test(`${file}: DEL goes on by the record of the ADD`, async () => {
      await node.call();
      assert.equal(node.fake.world.given().size, 1);
      assert.equal(await call('DEL', file), undefined);
      assert.equal(node.fake.world.given().size, 0);
      assert.deepEqual(node.files(), []);
    });
  }

  test('the default one may be absent', () => {
    const found = readShared({});
    assert.ok(found === undefined || found.file === '/etc/cellnet/config.json');
  });
});
