import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { lock, takeTurn, tryLock } from '../../../../cni/host/lock.ts';

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

  test('turns come one after another, and beside the locks', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const unlock = tryLock(dir, attachment(1));
    let inTurn = 0;
    const mostInTurn: number[] = [];
    const work = async (): Promise<void> => {
      const endTurn = await takeTurn(dir);
      mostInTurn.push(++inTurn);
      await new Promise((resolve) => setImmediate(resolve));
      inTurn--;
      endTurn();
    };
    await Promise.all([work(), work(), work(), work()]);
    assert.deepEqual(mostInTurn, [1, 1, 1, 1]);
    unlock?.();
  });

  test('who gets no turn goes on without one', async (t) => {
    (await takeTurn('/proc/none'))();
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const endTurn = await takeTurn(dir);
    const began = performance.now();
    (await takeTurn(dir))();
    assert.ok(performance.now() - began >= 1_000);
    endTurn();
  });

  test('in a folder that cannot be made is an error that says so', () => {
    assert.throws(() => tryLock('/proc/none', attachment(1)), {
      kind: 'io-failure',
      message: /cannot lock the attachment in \/proc\/none/,
    });
  });
});
