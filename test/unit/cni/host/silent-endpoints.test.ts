import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { silentEndpointsIn } from '../../../../cni/host/silent-endpoints.ts';

suite('endpoints that did not answer, as the processes of a node tell each other', () => {
  const start = (t: { after(undo: () => void): void }) => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-silent-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const clock = { ms: 1_000_000 };
    /** What another process sees. */
    const another = () => silentEndpointsIn(dir, () => clock.ms);
    return { dir, clock, another };
  };

  test('another process knows them until they answer again', (t) => {
    const { dir, another } = start(t);
    assert.deepEqual(another().list(), []);
    another().note('https://a:2379', false);
    assert.deepEqual(readdirSync(dir), []);
    another().note('https://a:2379', true);
    another().note('https://b:2379', true);
    assert.deepEqual(another().list(), ['https://a:2379', 'https://b:2379']);
    another().note('https://a:2379', false);
    assert.deepEqual(another().list(), ['https://b:2379']);
  });

  test('for ten minutes, each from its own time, and not beyond the boot', (t) => {
    const { clock, another } = start(t);
    another().note('https://a:2379', true);
    clock.ms += 599_999;
    another().note('https://b:2379', true);
    assert.deepEqual(another().list(), ['https://a:2379', 'https://b:2379']);
    clock.ms += 1;
    assert.deepEqual(another().list(), ['https://b:2379']);
    clock.ms = 5_000;
    assert.deepEqual(another().list(), []);
  });

  test('a file that is no such record is empty, and is written anew', (t) => {
    const { dir, another } = start(t);
    for (const text of ['', '{', 'null', '7', '["https://a:2379"]', '{"https://a:2379":"now"}']) {
      writeFileSync(join(dir, 'silent-endpoints.json'), text);
      assert.deepEqual(another().list(), [], text);
    }
    another().note('https://a:2379', true);
    assert.deepEqual(another().list(), ['https://a:2379']);
  });

  test('a folder that is none costs no call', (t) => {
    const { dir, clock } = start(t);
    const file = join(dir, 'a file');
    writeFileSync(file, '');
    chmodSync(file, 0o400);
    const silent = silentEndpointsIn(file, () => clock.ms);
    silent.note('https://a:2379', true);
    assert.deepEqual(silent.list(), []);
  });
});
