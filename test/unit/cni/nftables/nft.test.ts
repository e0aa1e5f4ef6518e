import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { hostNft, type Nft } from '../../../../cni/nftables/nft.ts';

suite('running nft', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellnet-nft-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A program in the place of nft. */
  function nft(script: string, deadlineMs?: number): Nft {
    const file = join(dir, 'nft');
    writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return hostNft({ PATH: `${dir}:/usr/bin:/bin` }, deadlineMs);
  }

  test('commands go to its standard input, and its messages are English', async () => {
    await nft(`echo "$@ $LC_ALL" >${dir}/args; cat >${dir}/input`).apply('add table inet cellnet\n');
    assert.equal(readFileSync(join(dir, 'args'), 'utf8'), '-f - C\n');
    assert.equal(readFileSync(join(dir, 'input'), 'utf8'), 'add table inet cellnet\n');
  });

  test('the table, and none', async () => {
    assert.equal(await nft('echo "$@"').listTable(), 'list table inet cellnet\n');
    const none = nft('echo "Error: No such file or directory" >&2; exit 1');
    assert.equal(await none.listTable(), undefined);
  });

  test('an error tells its first line, and what nft needs', async () => {
    const refuses = nft(
      'echo "Error: Could not process rule: Operation not supported" >&2; echo more >&2; exit 1',
    );
    const message = /^nft failed: Error: Could not process rule: Operation not supported\. It needs root/;
    await assert.rejects(refuses.apply(''), { name: 'NftError', message });
    await assert.rejects(refuses.listTable(), { name: 'NftError', message });
    await assert.rejects(nft('exit 3').apply(''), /^NftError: nft failed: exit status 3\./);
  });

  test('a node without it is told which package to install', async () => {
    const missing = hostNft({ PATH: dir });
    await assert.rejects(missing.listTable(), {
      name: 'NftError',
      message: /^the program nft cannot be started: .*ENOENT\. Install the package nftables on the node$/,
    });
  });

  test('one that hangs is ended', async () => {
    await assert.rejects(nft('sleep 60', 100).apply(''), /^NftError: nft did not end within 0\.1 s$/);
  });
});
