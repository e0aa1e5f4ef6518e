/** Builds the Debian package of dist/; installs, upgrades, downgrades and purges it with dpkg. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDeb, type Deb } from '../../../packaging/deb.ts';
import { debianArchitecture, debianVersion } from '../../../packaging/debian-version.ts';
import { compareVersions } from '../../../ipam/settings/version-order.ts';
import { mustCni, REPOSITORY } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import { must, run, type RunResult } from '../../support/proc.ts';

const DIST = join(REPOSITORY, 'dist');

const changelogOf = (version: string): string =>
  `cellnet (${version}) stable; urgency=medium\n\n  * Test.\n\n -- Test <test@cellnet.io>  Mon, 30 Nov 2026 12:00:00 +0000\n`;

/** A root with an empty database of dpkg. */
class Root {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    for (const folder of ['info', 'updates'])
      mkdirSync(join(path, 'var/lib/dpkg', folder), { recursive: true });
    writeFileSync(join(path, 'var/lib/dpkg/status'), '');
  }

  /** The root has no Node of its own, so dependencies are not looked at. */
  dpkg(...words: string[]): Promise<string> {
    const options = [
      `--root=${this.path}`,
      '--force-script-chrootless',
      '--force-depends',
      '--log=/dev/null',
    ];
    return must('dpkg', [...options, ...words], { timeoutMs: 60_000 });
  }

  cnictl(...words: string[]): Promise<RunResult> {
    return run(join(this.path, 'usr/bin/cnictl'), words, { env: { KUBECONFIG: undefined } });
  }

  install(...words: string[]): Promise<RunResult> {
    return this.cnictl('node', 'install', '--root', this.path, ...words);
  }

  at(path: string): string {
    return join(this.path, path);
  }
}

test('the package: reproducible, clean for lintian, and switched only by node install', async (t) => {
  const dir = await newScope(t).tempDir();
  let n = 0;
  const make = (dist: string, changelog?: string): Deb => {
    const tree = join(dir, `tree-${++n}`);
    mkdirSync(tree);
    const more = {
      arch: process.arch,
      level: 0,
      ...(changelog !== undefined && { changelog }),
    } as const;
    const deb = makeDeb({ dist, tree, out: join(dir, `out-${n}`), ...more });
    rmSync(tree, { recursive: true });
    return deb;
  };
  const deb = make(DIST);
  const again = make(DIST);
  assert.ok(readFileSync(deb.file).equals(readFileSync(again.file)), 'two packages of one dist/ differ');

  const { stdout } = await run('lintian', ['--no-cfg', deb.file], { timeoutMs: 60_000 });
  const expected = deb.lacks.includes('man pages') ? ['W: cellnet: no-manual-page [usr/bin/cnictl]'] : [];
  assert.deepEqual(stdout.split('\n').filter(Boolean), expected);

  const next = join(dir, 'next');
  cpSync(DIST, next, { recursive: true, filter: (path) => !path.endsWith('.cache') });
  const identity = JSON.parse(readFileSync(join(next, 'package.json'), 'utf8')) as { version: string };
  const now = identity.version;
  writeFileSync(join(next, 'package.json'), JSON.stringify({ ...identity, version: '99.0.0' }));
  assert.throws(() => make(next), /changelog begins with .*, but dist\/ is of 99\.0\.0: expected 99\.0\.0-1/);
  const newer = make(next, changelogOf('99.0.0-1'));
  assert.match(newer.file, new RegExp(`/cellnet_99\\.0\\.0-1_${debianArchitecture(process.arch)}\\.deb$`));

  const root = new Root(join(dir, 'root'));
  const running = (): string => realpathSync(root.at('opt/cellnet/current')).replace(/.*\//, '');
  await root.dpkg('-i', deb.file);
  assert.equal((await root.cnictl('--version')).stdout.trim(), now);
  assert.equal(existsSync(root.at('opt')), false, 'the package put something to use');
  const first = await root.install('--bridge', 'br-cell');
  assert.equal(first.code, 0, first.stderr);
  assert.ok(running().startsWith(`${now}-`));
  assert.equal(existsSync(root.at('usr/local/bin/cnictl')), false, 'a second cnictl in the PATH');

  const told = await root.dpkg('-i', newer.file);
  assert.match(told, /this node goes on with the version in \/opt\/cellnet\/current/);
  assert.ok(running().startsWith(`${now}-`), 'dpkg switched the node');
  const switched = await root.install();
  assert.match(switched.stdout, new RegExp(`^cellnet ${now}-\\w+ -> 99\\.0\\.0-\\w+ \\(newer\\)\n`));
  assert.ok(running().startsWith('99.0.0-'));

  await root.dpkg('-i', deb.file);
  const refused = await root.install();
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /--allow-downgrade/);
  assert.ok(running().startsWith('99.0.0-'));
  assert.equal((await root.install('--allow-downgrade')).code, 0);
  assert.ok(running().startsWith(`${now}-`));

  mkdirSync(root.at('etc/cellnet'), { recursive: true });
  mkdirSync(root.at('var/lib/cellnet/attachments'), { recursive: true });
  writeFileSync(root.at('etc/cellnet/config.json'), '{}');
  assert.match(await root.dpkg('--purge', 'cellnet'), /pods keep their network/);
  assert.equal(existsSync(root.at('usr/bin/cnictl')), false);
  for (const kept of [
    'etc/cellnet/config.json',
    'var/lib/cellnet/attachments',
    'etc/cni/net.d/10-cell.conflist',
  ])
    assert.ok(existsSync(root.at(kept)), `purge took ${kept} away`);
  const { supportedVersions } = await mustCni(root.at('opt/cni/bin/cellnet'), 'VERSION');
  assert.ok(supportedVersions?.includes('1.0.0'));
});

test('dpkg sorts the versions as semver.org does', async () => {
  const rising = ['0.9.0', '0.10.0-rc.2', '0.10.0-rc.10', '0.10.0-rc.10.1', '0.10.0', '1.0.0-alpha', '1.0.0'];
  for (const [n, version] of rising.slice(1).entries()) {
    const before = rising[n] ?? '';
    assert.ok((compareVersions(before, version) ?? 0) < 0);
    await must('dpkg', ['--compare-versions', debianVersion(before), 'lt', debianVersion(version)]);
  }
});
