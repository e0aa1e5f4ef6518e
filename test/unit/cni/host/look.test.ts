import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { lookAt } from '../../../../cni/host/look.ts';
import { NodeState } from '../../../../cni/host/node-state.ts';

test('only what is not there is absent, on every Node: a path through a file is an error', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-look-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'file');
  writeFileSync(file, 'four');
  assert.equal(lookAt(file)?.size, 4);
  assert.equal(lookAt(join(folder, 'none')), undefined);
  assert.equal(lookAt(join(folder, 'none/below/it')), undefined);
  for (const path of ['file/below', 'file/far/below'])
    assert.throws(() => lookAt(join(folder, path)), { code: 'ENOTDIR' });
  // A reconcile that took this for "no records" would take every pod's address for left over.
  const state = new NodeState(file, () => undefined);
  assert.throws(() => state.listAttachments(), { code: 5 });
});
