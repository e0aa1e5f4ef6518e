import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { readDocument } from '../../support/documents.ts';

test('docs/operations/doctor.md leads from each line of the doctor to a page', () => {
  const [, below = ''] = readDocument('docs/operations/doctor.md').split('| line | page |');
  const [table = ''] = below.split('\n\n');
  const lines = table
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
  const covered = (check: string): boolean =>
    lines.some((line) => (line.endsWith('…') ? check.startsWith(line.slice(0, -1)) : check === line));
  const golden = readFileSync(join(REPOSITORY, 'test/golden/expected/doctor.txt'), 'utf8');
  const checks = new Set([...golden.matchAll(/"check": "([^"]+)"/g)].map(([, name = '']) => name));
  assert.ok(checks.size > 15);
  assert.deepEqual(
    [...checks, 'forwarding', 'VLANs', 'uplink bond1', 'plugins', 'masquerading'].filter(
      (check) => check !== 'configuration' && !covered(check),
    ),
    [],
  );
});
