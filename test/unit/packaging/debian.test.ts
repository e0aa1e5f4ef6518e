import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyrightText, packageFolder } from '../../../packaging/copyright.ts';
import { changelogHead, debianArchitecture, debianVersion } from '../../../packaging/debian-version.ts';
import { maintainerOf, NO_MAINTAINER } from '../../../packaging/deb.ts';
import { REPOSITORY } from '../../support/cni.ts';

test("Debian's form of a version", () => {
  assert.equal(debianVersion('0.2.0'), '0.2.0-1');
  assert.equal(debianVersion('0.2.0', 3), '0.2.0-3');
  assert.equal(debianVersion('1.0.0-rc.1+build.5'), '1.0.0~rc.1-1');
  assert.equal(debianVersion('1.0.0-rc-x.1'), '1.0.0~rc-x.1-1');
  assert.equal(debianArchitecture('x64'), 'amd64');
  assert.equal(debianArchitecture('arm64'), 'arm64');
});

test("the maintainer is named by the variables of Debian's tools", () => {
  assert.equal(maintainerOf({}), NO_MAINTAINER);
  const env = { DEBFULLNAME: 'Network Team', DEBEMAIL: 'network@example.org' };
  assert.equal(maintainerOf(env), 'Network Team <network@example.org>');
  assert.throws(
    () => maintainerOf({ ...env, DEBFULLNAME: 'A\nB' }),
    /DEBFULLNAME is 'A\nB': expected a name/,
  );
  assert.throws(() => maintainerOf({ ...env, DEBEMAIL: 'network' }), /DEBEMAIL is 'network': expected/);
  assert.throws(() => maintainerOf({ DEBEMAIL: env.DEBEMAIL }), /DEBFULLNAME is '': expected/);
});

test('the changelog begins with the version of package.json', () => {
  const text = readFileSync(join(REPOSITORY, 'packaging/debian/changelog'), 'utf8');
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(changelogHead(text).version, debianVersion(version));
  assert.equal(new Date(changelogHead(text).at * 1000).toISOString(), '2026-11-30T12:00:00.000Z');
  assert.throws(() => changelogHead('cellnet 0.2.0'), /expected an entry "cellnet \(VERSION\)/);
});

test('the copyright file has the license of each package in the bundles', () => {
  assert.equal(
    packageFolder('/x/node_modules/a/node_modules/@b/c/dist/d.js'),
    '/x/node_modules/a/node_modules/@b/c',
  );
  assert.equal(packageFolder('/x/cni/main.ts'), undefined);
  const text = copyrightText([
    { name: 'apache', version: '1.0.0', license: 'Apache-2.0', text: 'the whole text' },
    { name: 'mit', version: '2.0.0', license: 'MIT', text: 'Permission is hereby granted\r\n' },
  ]);
  assert.doesNotMatch(text, /the whole text|\r/);
  assert.match(text, /^apache 1\.0\.0 \(Apache-2\.0\)\n\nLicense: Apache-2\.0$/m);
  assert.match(text, /^mit 2\.0\.0 \(MIT\)\n\nPermission is hereby granted$/m);
});
