import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { lock, tryLock } from '../../../../cni/host/lock.ts';

suite("an attachment's lock", () => {
  const attachment = (i: number): { containerId: string; ifname: string } => ({
    containerId: `c${i}`,
    ifname: 'eth0',
  });

  test('is held once until it is released; 300 attachments do not wait for each other', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const unlocks = Array.from({ length: 300 }, (_, i) => tryLock(dir, attachment(i)));
    assert.ok(unlocks.every((unlock) => unlock !== undefined));
    assert.equal(tryLock(dir, attachment(7)), undefined);
    const waiting = lock(dir, attachment(7));
    unlocks[7]?.();
    (await waiting)();
    for (const [i, unlock] of unlocks.entries()) if (i !== 7) unlock();
    assert.deepEqual(readdirSync(join(dir, 'locks')), ['attachments']);
  });

  test('in a folder that cannot be made is an error that says so', () => {
    assert.throws(() => tryLock('/proc/none', attachment(1)), {
      kind: 'io-failure',
      message: /cannot lock the attachment in \/proc\/none/,
    });
  });
});
