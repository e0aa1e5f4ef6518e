import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { absent, put } from '../../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import type { LeasedStore } from '../../../ipam/store/leases.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { until } from '../../support/proc.ts';

const USER = { username: 'cellnet', password: 'secret' };

suite('leases of etcd, for a user without the root role', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: LeasedStore;

  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd({ auth: USER }));
    store = await open();
  });
  after(() => scope.close());
  const open = async (deadlineMs = 5_000): Promise<LeasedStore> => {
    const passwordFile = join(await scope.tempDir(), 'password');
    await writeFile(passwordFile, USER.password);
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: USER.username, passwordFile };
    const opened = openEtcdStore(settings, { deadlineMs });
    scope.defer(() => opened.close());
    return opened;
  };
  const has = async (key: string): Promise<boolean> => (await store.get([key]))[0] !== undefined;

  test('a key lives as long as its lease is kept alive, which writes nothing', async () => {
    const lease = await store.leases.grant(2_000);
    await store.commit([absent('alive/n')], [put('alive/n', 'x', lease)]);
    const revision = await etcd.revision();
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.equal(await store.leases.keepAlive(lease), true);
    }
    assert.equal(await has('alive/n'), true);
    assert.equal(await etcd.revision(), revision);
    await until('the key to end', async () => !(await has('alive/n')));
    assert.equal(await store.leases.keepAlive(lease), false);
    await store.leases.revoke(lease);
  });

  test('to end the lease deletes the key; a key with a later lease stays', async () => {
    const [first, second] = [await store.leases.grant(60_000), await store.leases.grant(60_000)];
    await store.commit([], [put('a', '1', first), put('b', '1', first)]);
    await store.commit([], [put('b', '1', second)]);
    await store.leases.revoke(first);
    assert.deepEqual([await has('a'), await has('b')], [false, true]);
    await store.leases.revoke(second);
    assert.equal(await has('b'), false);
  });

  test('a lease that etcd does not have is an error for a write, and the write does not take place', async () => {
    await assert.rejects(store.commit([absent('c')], [put('c', '1', '12345')]), /lease not found|expired/);
    assert.equal(await has('c'), false);
  });

  test('an etcd that answers nothing is an error within the deadline', async () => {
    const quick = await open(500);
    const lease = await quick.leases.grant(60_000);
    etcd.pause();
    try {
      for (const work of [
        () => quick.leases.keepAlive(lease),
        () => quick.leases.grant(60_000),
        () => quick.leases.revoke(lease),
      ]) {
        const startedAt = performance.now();
        await assert.rejects(work(), { code: 'store-unreachable' });
        assert.ok(performance.now() - startedAt < 4_000);
      }
    } finally {
      etcd.resume();
    }
    // What was sent is carried out: the end of the lease too.
    await until('the lease to end', async () => !(await quick.leases.keepAlive(lease).catch(() => true)));
  });
});
