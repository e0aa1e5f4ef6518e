import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KUBE_ERROR_CODES } from '../../../cni/kube/errors.ts';
import { CNI_CODES, toCniError } from '../../../cni/protocol/errors.ts';
import { IPAM_ERROR_CODES, IpamError } from '../../../ipam/model/errors.ts';

const text = readFileSync(join(import.meta.dirname, '../../../docs/errors.md'), 'utf8');

/** Returns the rows of the table below a heading, as cells. */
function rowsBelow(heading: string): string[][] {
  const section = text.split(/^## /m).find((each) => each.startsWith(heading));
  assert.ok(section, `docs/errors.md has no section '${heading}'`);
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| code'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

test('every CNI code of the code is documented with its name, and no other', () => {
  const documented = Object.fromEntries(
    rowsBelow('What the runtime gets').map(([code, name]) => [name ?? '', Number(code)]),
  );
  assert.deepEqual(documented, { ...CNI_CODES });
});

test('every IPAM code is documented with the CNI code that the runtime gets', () => {
  const documented = Object.fromEntries(rowsBelow('IPAM').map(([code, , cni]) => [code ?? '', Number(cni)]));
  const actual = Object.fromEntries(
    IPAM_ERROR_CODES.map((code) => [code, toCniError(new IpamError(code, 'x')).code]),
  );
  assert.deepEqual(documented, actual);
});

test('every code of the Kubernetes edge is documented, and no other', () => {
  const documented = rowsBelow('Kubernetes API').map(([code]) => code ?? '');
  assert.deepEqual(documented.sort(), [...KUBE_ERROR_CODES].sort());
});

test('every documented row says what to do', () => {
  for (const row of rowsBelow('What the runtime gets')) {
    assert.equal(row.length, 4, row.join(' | '));
    assert.ok(
      row.every((cell) => cell.length > 0),
      row.join(' | '),
    );
  }
});
