import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions } from '../../../../ipam/settings/version-order.ts';

/** From semver.org, rule 11, and what a comparison of text gets wrong. */
const RISING = [
  '0.1.0',
  '0.2.0-1',
  '0.2.0-2',
  '0.2.0-10',
  '0.2.0--',
  '0.2.0',
  '0.9.0',
  '0.10.0',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-alpha.beta',
  '1.0.0-beta',
  '1.0.0-beta.2',
  '1.0.0-beta.11',
  '1.0.0-rc.1',
  '1.0.0',
  '1.0.9007199254740993',
  '1.0.9007199254740994',
  '2.0.0',
  '10.0.0',
];

test('the order of versions is that of semver.org', () => {
  for (const [n, version] of RISING.entries())
    for (const [m, other] of RISING.entries())
      assert.equal(
        Math.sign(compareVersions(version, other) ?? NaN),
        Math.sign(n - m),
        `${version} ${other}`,
      );
});

test('what follows a plus sign counts for nothing', () => {
  assert.equal(compareVersions('1.0.0+a', '1.0.0+b.7'), 0);
  assert.equal(compareVersions('1.0.0-rc.1+5', '1.0.0-rc.1'), 0);
});

test('what is no version has no order', () => {
  for (const text of [
    '',
    'from source',
    '1.0',
    'v1.0.0',
    '1.0.0.0',
    '01.0.0',
    '1.0.0-',
    '1.0.0-01',
    '1.0.0-a..b',
    '1.0.0+',
  ])
    assert.equal(compareVersions(text, '1.0.0'), undefined, text);
});
