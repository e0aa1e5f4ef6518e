import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { runDelegate } from '../../../../cni/host/delegate.ts';

suite('a delegated plugin', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
  });
  after(() => rmSync(dir, { recursive: true }));
  /** Runs the shell script as the IPAM plugin `other`. */
  const delegate = (script: string, deadlineMs?: number): Promise<string> => {
    writeFileSync(join(dir, 'other'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const call = { type: 'other', path: [dir], verb: 'ADD', stdin: '{}' };
    return runDelegate(call, { PATH: process.env['PATH'] }, deadlineMs);
  };

  test('replies, though it leaves a child that keeps its output open', async () => {
    const began = performance.now();
    assert.equal(await delegate(`(sleep 3; echo late) & echo '{"ips":[]}'`), '{"ips":[]}\n');
    assert.ok(performance.now() - began < 2_000);
  });

  test('that hangs is killed at the deadline: code 11, and what it waited for', () =>
    assert.rejects(delegate('sleep 30', 200), {
      code: 11,
      message: "plugin 'other' did not end within 0.2 s at ADD: it was killed, with what it started",
    }));

  test('that fails with an error of its own passes it on; without one its words count', async () => {
    await assert.rejects(delegate(`echo '{"code":7,"msg":"no subnet"}'; exit 1`), {
      code: 7,
      message: "plugin 'other': no subnet",
    });
    await assert.rejects(delegate('echo oops >&2; exit 1'), {
      code: 104,
      message: "plugin 'other' failed at ADD: oops",
    });
    await assert.rejects(delegate('kill -9 $$'), { code: 104, message: /exit status by signal/ });
  });

  test('that is not installed, or whose type is no file name, is an error of the configuration', async () => {
    const call = { path: [dir], verb: 'DEL', stdin: '{}' };
    await assert.rejects(runDelegate({ ...call, type: 'none' }, {}), { code: 7, message: /no such plugin/ });
    writeFileSync(join(dir, 'other'), '#!/bin/sh\n', { mode: 0o755 });
    for (const type of [`../${dir.split('/').at(-1) ?? ''}/other`, '.', '..', ''])
      await assert.rejects(runDelegate({ ...call, type }, {}), {
        code: 7,
        message: /expected the name of a file/,
      });
  });
});
