import assert from 'node:assert/strict';
import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { mustCni, OUR_PLUGINS } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import { must, run, type RunResult } from '../../support/proc.ts';

// An installation puts a copy of dist/ and links to it on a node: no node_modules, no sources.
test('a copy of dist/ works through links, away from the repository', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const copy = join(dir, 'opt/cellnet');
  await cp(join(OUR_PLUGINS, '..'), copy, { recursive: true });
  for (const name of ['cellnet', 'cellnet-ipam']) {
    await symlink(join(copy, 'bin', name), join(dir, name));
    const { supportedVersions } = await mustCni(join(dir, name), 'VERSION');
    assert.ok(supportedVersions?.includes('1.1.0'), `${name} supports ${String(supportedVersions)}`);
  }
  await symlink(join(copy, 'bin/cnictl'), join(dir, 'cnictl'));
  assert.match(await must(join(dir, 'cnictl'), ['--help'], { cwd: '/' }), /range/);
  for (const addon of ['netlink', 'koffi']) {
    await must(process.execPath, [
      '-e',
      `require(${JSON.stringify(join(copy, `lib/native/${addon}-${process.arch}.node`))})`,
    ]);
  }
});

suite('output of cnictl that cannot be written', () => {
  /** Runs a shell line in which "$0" is cnictl. */
  const inShell = (line: string): Promise<RunResult> =>
    run('bash', ['-c', line, join(OUR_PLUGINS, 'cnictl')]);

  test('a pipe that nobody reads: quietly, status 2', async () => {
    const ran = await inShell('"$0" --help | true; exit "${PIPESTATUS[0]}"');
    assert.deepEqual([ran.code, ran.stderr], [2, '']);
  });

  test('nobody reads the errors either', async () => {
    assert.equal((await inShell('"$0" --help 2>&1 | true; exit "${PIPESTATUS[0]}"')).code, 2);
  });

  test('a full device: a line that says so, status 2', async () => {
    const ran = await inShell('"$0" --help > /dev/full');
    assert.equal(ran.stderr, 'cnictl: the output cannot be written: no space left on device\n');
    assert.equal(ran.code, 2);
  });

  test('errors on a full device end with status 2', async () => {
    assert.equal((await inShell('"$0" frobnicate 2> /dev/full')).code, 2);
  });
});
