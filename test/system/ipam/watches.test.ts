/** What `Watches` promises, on the real etcd. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import type { IpamError } from '../../../ipam/model/errors.ts';
import { del, put } from '../../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import type { RevisionChanges, WatchedStore } from '../../../ipam/store/watches.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { must } from '../../support/proc.ts';

const USER = { username: 'cellnet', password: 'secret' };

/** Watches until the test has what it waits for. */
const collect = async (
  store: WatchedStore,
  from: number,
  enough: (revisions: readonly RevisionChanges[]) => boolean,
): Promise<RevisionChanges[]> => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 20_000);
  const all: RevisionChanges[] = [];
  try {
    for await (const { revisions } of store.watches.watch(from, stop.signal)) {
      all.push(...revisions);
      if (enough(all)) break;
    }
    return all;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
};

suite('watches of etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: WatchedStore;

  before(async () => {
    scope = newScope();
    // Tokens that nobody uses for two seconds end.
    etcd = scope.use(await startEtcd({ auth: USER, args: ['--auth-token-ttl', '2'] }));
    const passwordFile = join(await scope.tempDir(), 'password');
    await writeFile(passwordFile, USER.password);
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: USER.username, passwordFile };
    const opened = openEtcdStore(settings);
    scope.defer(() => opened.close());
    store = opened;
  });
  after(() => scope.close());

  test('revisions come whole, in order, with deletions, and nothing of other prefixes', async () => {
    const from = (await store.watches.newest()) + 1;
    await store.commit([], [put('b', '1'), put('a', '1')]);
    await etcd.ctl('put', '/elsewhere', 'x');
    await store.commit([], [del('b'), put('c', '1')]);
    const told = await collect(store, from, (all) => all.length === 2);
    assert.deepEqual(
      told.map(({ revision, changes }) => [
        revision - from,
        changes.map(({ key, value }) => `${key}=${value ?? ''}`),
      ]),
      [
        [0, ['b=1', 'a=1']],
        [2, ['b=', 'c=1']],
      ],
    );
  });

  test('a transaction of 1.4 MB, which etcd sends in fragments, is one revision', async () => {
    const from = (await store.watches.newest()) + 1;
    for (let n = 0; n < 8; n++)
      await store.commit(
        [],
        Array.from({ length: 100 }, (_, i) => put(`large/${i}`, `${n}${'x'.repeat(14_000)}`)),
      );
    const told = await collect(store, from, (all) => all.length === 8);
    assert.deepEqual(
      told.map(({ changes }) => changes.length),
      Array.from({ length: 8 }, () => 100),
    );
    assert.ok(told.every(({ changes }, n) => changes.every(({ value }) => value?.startsWith(`${n}x`))));
  });

  test('2,500 revisions of the past, while others are written', async () => {
    const from = (await store.watches.newest()) + 1;
    for (let n = 0; n < 50; n++)
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.commit([], [put(`many/${i}`, String(n))])),
      );
    const writing = Promise.all(
      Array.from({ length: 50 }, (_, i) => store.commit([], [put(`more/${i}`, '1')])),
    );
    const told = await collect(store, from, (all) => all.length === 2_550);
    await writing;
    assert.deepEqual(
      told.map(({ revision }) => revision),
      Array.from({ length: 2_550 }, (_, i) => from + i),
    );
  });

  test('a scan and a get are of their revision, and know what changed since', async () => {
    await store.commit([], [put('s/a', '1'), put('s/b', '1')]);
    const revision = await store.watches.newest();
    await store.commit([], [put('s/a', '2'), del('s/b'), put('s/c', '1')]);
    const scan = async (...options: [number, { changedAfter?: number }?]): Promise<string[]> => {
      const found: string[] = [];
      for await (const page of store.watches.scanAt('s/', ...options))
        found.push(...page.map(({ key, value }) => `${key}=${value}`));
      return found;
    };
    assert.deepEqual(await scan(revision), ['s/a=1', 's/b=1']);
    assert.deepEqual(await scan(revision + 1), ['s/a=2', 's/c=1']);
    assert.deepEqual(await scan(revision + 1, { changedAfter: revision }), ['s/a=2', 's/c=1']);
    assert.deepEqual(await scan(revision + 1, { changedAfter: revision + 1 }), []);
    assert.equal((await store.watches.getAt('s/b', revision))?.value, '1');
    assert.equal(await store.watches.getAt('s/b', revision + 1), undefined);
  });

  test('a token that has ended is renewed', async () => {
    await hostEffects.pause(4_000);
    const from = (await store.watches.newest()) + 1;
    await hostEffects.pause(4_000);
    await store.commit([], [put('late', '1')]);
    await hostEffects.pause(4_000);
    const told = await collect(store, from, (all) => all.length === 1);
    assert.equal(told[0]?.changes[0]?.key, 'late');
  });

  test('what etcd has forgotten is refused, with what it remembers', async () => {
    const revision = await store.watches.newest();
    await etcd.ctl('compact', String(revision));
    const refused = collect(store, revision - 5, () => true).catch((error: unknown) => error);
    // The member accepts the watch first.
    assert.ok(!((await refused) instanceof Error));
    const error = (await collect(store, revision - 5, () => false).catch(
      (thrown: unknown) => thrown,
    )) as IpamError & {
      compactRevision: number;
    };
    assert.deepEqual([error.code, error.compactRevision], ['store-compacted', revision]);
    await assert.rejects(store.watches.getAt('a', revision - 1), { code: 'store-compacted' });
  });

  test('a user without the right is refused', async () => {
    const asRoot = (...words: string[]): Promise<string> =>
      must('etcdctl', ['--endpoints', etcd.endpoints.join(), '--user', 'root:secret', ...words], {
        env: { ETCDCTL_API: '3' },
      });
    await asRoot('role', 'add', 'none');
    await asRoot('user', 'add', 'nobody:secret');
    await asRoot('user', 'grant-role', 'nobody', 'none');
    const passwordFile = join(await scope.tempDir(), 'password');
    await writeFile(passwordFile, 'secret');
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: 'nobody', passwordFile };
    const other = openEtcdStore(settings);
    scope.defer(() => other.close());
    await assert.rejects(
      collect(other, 1, () => false),
      { code: 'store-denied' },
    );
  });
});

suite('watches of an etcd of three', () => {
  test('a member that hangs, and one that is cut off from the others, are left for the next', async () => {
    const scope = newScope();
    try {
      const etcd = scope.use(await startEtcd({ members: 3 }));
      const [first, ...others] = etcd.members;
      assert.ok(first);
      const one = openEtcdStore({ endpoints: [first.endpoint], prefix: '/cellnet' });
      scope.defer(() => one.close());
      const fails = async (): Promise<{ readonly code: string; readonly ms: number }> => {
        const startedAt = performance.now();
        const error = await collect(one, 1, () => false).catch((thrown: unknown) => thrown as IpamError);
        return { code: 'code' in error ? error.code : 'none', ms: performance.now() - startedAt };
      };
      const hanging = fails();
      await hostEffects.pause(1_000);
      first.pause();
      const hung = await hanging;
      assert.equal(hung.code, 'store-unreachable');
      assert.ok(hung.ms > 5_000 && hung.ms < 18_000, String(hung.ms));
      first.resume();
      await hostEffects.pause(3_000);
      const alone = fails();
      await hostEffects.pause(1_000);
      for (const other of others) other.pause();
      const cut = await alone;
      for (const other of others) other.resume();
      assert.equal(cut.code, 'store-unreachable');
      assert.ok(cut.ms < 19_000, String(cut.ms));
    } finally {
      await scope.close();
    }
  });
});
