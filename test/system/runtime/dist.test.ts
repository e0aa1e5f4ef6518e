/** An installation puts a copy of dist/ and links to it on a node: no node_modules, no sources. */
import assert from 'node:assert/strict';
import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { mustCni, OUR_PLUGINS } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import { must } from '../../support/proc.ts';

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
