import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { keepMachineOf, machineOf } from '../../../cni/host/machine.ts';

suite('this machine', () => {
  const inFolder = (work: (dir: string, file: string) => void): void => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-machine-'));
    try {
      work(dir, join(dir, 'machine.json'));
    } finally {
      rmSync(dir, { recursive: true });
    }
  };

  test('is what CELLNET_MACHINE_ID says, without a file', () =>
    inFolder((dir, file) => {
      const machine = keepMachineOf({ CELLNET_MACHINE_ID: 'rack-7.a' }, dir);
      assert.deepEqual(machine, { id: 'rack-7.a', macs: [], machineId: 'rack-7.a' });
      assert.throws(() => statSync(file), { code: 'ENOENT' });
    }));

  for (const id of ['a b', '-a', 'a/b', 'ä', 'x'.repeat(65)])
    test(`is refused as '${id.slice(0, 9)}'`, () =>
      assert.throws(() => machineOf({ CELLNET_MACHINE_ID: id }, '/none'), {
        code: 4,
        message: `CELLNET_MACHINE_ID '${id}': expected 1 to 64 letters, digits, '_', '.' and '-', beginning with a letter or a digit`,
      }));

  test('is kept for the boot, written once, and read without writing', () =>
    inFolder((dir, file) => {
      const seen = machineOf({}, dir);
      assert.throws(() => statSync(file), { code: 'ENOENT' });
      assert.deepEqual(keepMachineOf({}, dir), seen);
      const kept = JSON.parse(readFileSync(file, 'utf8')) as object;
      writeFileSync(file, JSON.stringify({ ...kept, macs: ['02:00:00:00:00:01'] }));
      assert.deepEqual(machineOf({}, dir).macs, ['02:00:00:00:00:01']);
    }));

  test('is read again where the file is of another boot, of another machine, or broken', () =>
    inFolder((dir, file) => {
      const seen = keepMachineOf({}, dir);
      const kept = JSON.parse(readFileSync(file, 'utf8')) as object;
      const forged = { macs: ['02:00:00:00:00:01'], id: 'forged' };
      for (const other of [{ bootId: 'other' }, { machineId: 'other' }, { productUuid: 'other' }, { v: 2 }]) {
        writeFileSync(file, JSON.stringify({ ...kept, ...forged, ...other }));
        assert.deepEqual(machineOf({}, dir), seen);
      }
      writeFileSync(file, '{"v":1');
      assert.deepEqual(machineOf({}, dir), seen);
    }));
});
