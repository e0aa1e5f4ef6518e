/** Makes the root file system of the image, and runs what the DaemonSet runs in it. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY } from '../../support/cni.ts';
import { newScope } from '../../support/netns.ts';
import { must, run } from '../../support/proc.ts';

test('the image has what the DaemonSet runs, and no more', async (t) => {
  const root = join(await newScope(t).tempDir(), 'root');
  const script = join(REPOSITORY, 'docs/examples/image-root.sh');
  await must('sh', [script, join(REPOSITORY, 'dist'), process.execPath, root], { timeoutMs: 60_000 });
  const inside = (...words: string[]): Promise<string> =>
    must('unshare', ['--mount', 'chroot', root, ...words], {
      env: { PATH: '/usr/bin:/usr/sbin:/bin', NODE_EXTRA_CA_CERTS: undefined },
    });
  const shell = (script: string): Promise<string> => inside('/bin/sh', '-c', script);

  assert.match(await inside('/usr/bin/cnictl', '--version'), /^\d+\.\d+\.\d+/);
  // The agent starts: it is what says that.
  const { stderr } = await run('chroot', [root, '/usr/bin/cellnetd', '--nonsense'], {
    env: { PATH: '/usr/bin:/usr/sbin:/bin' },
  });
  assert.match(stderr, /Unknown option '--nonsense'/);
  assert.match(await shell('nft --version'), /^nftables v/);
  // What the DaemonSet's command does with /proc/sys.
  await shell(
    'mount -t tmpfs none /tmp && mount -o remount,bind,ro /tmp && mount -o remount,bind,rw /tmp && : >/tmp/file',
  );
  const host = join(root, 'host');
  await must('mkdir', [host]);
  await inside('/usr/bin/cnictl', 'node', 'install', '--root', '/host', '--no-systemd');
  assert.ok(existsSync(join(host, 'opt/cni/bin')));

  const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
  for (const unwanted of [/(^|\/)(npm|apt|apt-get|dpkg)$/, /\.map$/, /-arm\.node$/])
    assert.deepEqual(
      files.filter((file) => unwanted.test(file)),
      [],
    );
});
