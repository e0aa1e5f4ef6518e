import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOlder } from '../../../../cnictl/install/versions.ts';

const name = (version: string): string => `${version}-0123456789ab`;

test('which version is older, by semver.org', () => {
  const rising = [
    '0.9.0',
    '0.10.0-alpha',
    '0.10.0-alpha.1',
    '0.10.0-rc.2',
    '0.10.0-rc.10',
    '0.10.0',
    '1.0.0',
  ];
  for (const [n, version] of rising.entries())
    for (const [m, other] of rising.entries())
      assert.equal(isOlder(name(version), name(other)), n < m, `${version} ${other}`);
});

test('builds of one version have no order, and no other name has', () => {
  assert.equal(isOlder('1.0.0-000000000000', '1.0.0-ffffffffffff'), false);
  assert.equal(isOlder(name('1.0.0+a'), name('1.0.0+b')), false);
  assert.equal(isOlder('mine', name('1.0.0')), false);
});
