import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import { openRemote } from '../../../cni/ovsdb/remote.ts';
import { CommandError, describeError, remedyFor } from '../../../cnictl/context/errors.ts';
import { IpamError } from '../../../ipam/model/errors.ts';

const denied = Object.assign(new Error('connect EACCES /run/x'), { code: 'EACCES' });

suite('without root', () => {
  test('what the system forbids is a matter of root, whatever error wraps it', () => {
    for (const error of [
      denied,
      new OvsdbError('unreachable', 'x', { cause: denied, remedy: 'Check that ovsdb-server runs.' }),
      new IpamError('invalid', 'etcd.keyFile cannot be read', { cause: denied }),
      new CommandError('cannot be written', '', { cause: denied }),
    ]) {
      assert.match(remedyFor(error), /^Run it as root/);
      assert.match(describeError(error), /\n {2}Run it as root/);
    }
    assert.equal(
      remedyFor(new CommandError('x', 'Name another file.', { cause: denied })),
      'Name another file.',
    );
    assert.equal(remedyFor(new OvsdbError('unreachable', 'x', { remedy: 'Check it.' })), 'Check it.');
    assert.equal(remedyFor(new Error('x')), '');
  });

  test('the socket of Open vSwitch, for a user that may not use it', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cellnet-denied-'));
    const path = join(dir, 'socket');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    chmodSync(dir, 0o700);
    t.after(() => {
      server.close();
      rmSync(dir, { recursive: true });
    });
    const uid = process.geteuid?.();
    if (uid !== 0) {
      t.skip('needs root, to become another user');
      return;
    }
    process.seteuid?.(65_534);
    t.after(() => process.seteuid?.(0));
    try {
      await assert.rejects(openRemote(`unix:${path}`, 1_000), (error: OvsdbError) => {
        assert.match(error.message, /EACCES/);
        return /^Run it as root/.test(error.remedy);
      });
    } finally {
      process.seteuid?.(0);
    }
  });
});
