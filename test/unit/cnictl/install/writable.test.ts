import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWritable } from '../../../../cnictl/install/writable.ts';

test('steps below a read-only folder are refused before the first of them', () => {
  const existing = new Set(['/', '/usr', '/usr/local', '/opt']);
  const look = {
    kind: (path: string) => (existing.has(path) ? ('folder' as const) : undefined),
    isReadOnly: (folder: string) => folder.startsWith('/usr'),
  };
  const make = { do: 'make-folder', path: '/opt/cellnet' } as const;
  const link = { do: 'link', path: '/usr/local/bin/cnictl', target: 'x' } as const;
  checkWritable([make, { do: 'run', argv: ['true'] }], look);
  assert.throws(() => checkWritable([make, link], look), /'\/usr\/local' is on a read-only file system/);
});
