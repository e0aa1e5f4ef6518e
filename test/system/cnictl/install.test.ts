import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { makeUnit } from '../../../cnictl/install/unit.ts';
import { cni, OUR_PLUGINS, REPOSITORY } from '../../support/cni.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { must, run, type RunResult } from '../../support/proc.ts';

const PROGRAMS = [
  'opt/cni/bin/cellnet',
  'opt/cni/bin/cellnet-ipam',
  'usr/local/bin/cnictl',
  'usr/local/bin/cellnetd',
];

suite('installing the real dist below a root', () => {
  let scope: Scope;
  let dir: string;
  let root: string;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    root = join(dir, 'root');
    mkdirSync(root);
  });
  after(() => scope.close());

  /** Runs the built cnictl, or the installed one as `program`. */
  const cnictl = (args: string[], program = join(OUR_PLUGINS, 'cnictl')): Promise<RunResult> =>
    run(program, ['node', ...args, '--root', root], { timeoutMs: 60_000 });

  /** Calls the plugin without an agent, so that the call needs all files of the plugin. */
  const askVersion = (): ReturnType<typeof cni> =>
    cni(join(root, 'opt/cni/bin/cellnet'), 'VERSION', {
      config: { cniVersion: '1.1.0' },
      env: { CELLNET_AGENT: 'false' },
    });

  const current = (): string => realpathSync(join(root, 'opt/cellnet/current'));

  test('the programs run by their links, and the installed cnictl finds nothing to do', async () => {
    const { code, stderr } = await cnictl(['install']);
    assert.equal(code, 0, stderr);
    for (const path of PROGRAMS) assert.ok(realpathSync(join(root, path)).startsWith(current()), path);
    const { result } = await askVersion();
    assert.ok(result?.supportedVersions?.includes('1.1.0'));
    await must(join(root, 'usr/local/bin/cellnetd'), ['--help']);
    const again = await cnictl(['install'], join(root, 'usr/local/bin/cnictl'));
    assert.match(again.stdout, /is installed: nothing to do\n$/, again.stderr);
    // The built dist tells that its agent speaks sd_notify(3).
    const unit = readFileSync(join(root, 'etc/systemd/system/cellnetd.service'), 'utf8');
    assert.match(unit, /^Type=notify$/m);
  });

  test('no call fails while versions change below it', async () => {
    const outcomes: { code: number | null; stdout: string; stderr: string }[] = [];
    let upgrading = true;
    const callers = [1, 2].map(async () => {
      while (upgrading) outcomes.push(await askVersion());
    });
    try {
      for (const version of ['0.2.0', '0.3.0', '0.4.0', '0.5.0']) {
        const dist = join(dir, `dist-${version}`);
        cpSync(join(REPOSITORY, 'dist'), dist, { recursive: true });
        const file = join(dist, 'package.json');
        writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version }));
        const { code, stderr } = await cnictl(['install', '--from', dist]);
        assert.equal(code, 0, stderr);
        assert.ok(current().includes(`/versions/${version}-`));
      }
    } finally {
      upgrading = false;
      await Promise.all(callers);
    }
    assert.ok(outcomes.length >= 4, `${outcomes.length} calls`);
    assert.deepEqual(
      outcomes.filter(({ code }) => code !== 0),
      [],
    );
    assert.equal(readdirSync(join(root, 'opt/cellnet/versions')).length, 2);
  });

  test('uninstall leaves an empty tree', async () => {
    const { code, stderr } = await cnictl(['uninstall', '--yes'], join(root, 'usr/local/bin/cnictl'));
    assert.equal(code, 0, stderr);
    assert.deepEqual(readdirSync(root), []);
  });

  test('a read-only folder is told before anything is done, and can be left out', async () => {
    const other = join(dir, 'read-only');
    mkdirSync(join(other, 'usr/local/bin'), { recursive: true });
    const script = 'mount -t tmpfs -o ro none "$1/usr/local/bin" && exec "$0" node install --root "$1" $2';
    const install = (more: string): Promise<RunResult> =>
      run('unshare', ['-m', 'sh', '-c', script, join(OUR_PLUGINS, 'cnictl'), other, more], {
        timeoutMs: 60_000,
      });
    const refused = await install('');
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /usr\/local\/bin' is on a read-only file system: nothing was changed/);
    assert.deepEqual(readdirSync(other), ['usr']);
    const { code, stderr } = await install('--no-program-dir');
    assert.equal(code, 0, stderr);
    assert.ok(existsSync(join(other, 'etc/cni/net.d/10-cell.conflist')));
  });

  test(
    'systemd accepts the unit',
    { skip: !existsSync('/usr/bin/systemd-analyze') && 'there is no systemd-analyze' },
    async () => {
      const file = join(dir, 'cellnetd.service');
      writeFileSync(
        file,
        makeUnit({ libDir: '/' }).replace('ExecStart=/current/bin/cellnetd', 'ExecStart=/bin/true'),
      );
      const { code, stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
      assert.deepEqual([code, stdout, stderr], [0, '', '']);
    },
  );
});
