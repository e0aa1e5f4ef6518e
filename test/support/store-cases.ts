/**
 * What every store must do: cases that run on the real etcd and on the simulated one. Each store is
 * empty at the start of its case.
 */
import assert from 'node:assert/strict';
import { absent, del, put, same, unchanged, type Entry, type Guard } from '../../ipam/records/transaction.ts';
import type { LeasedStore } from '../../ipam/store/leases.ts';
import { readAgain, scanAll, type Store } from '../../ipam/store/store.ts';

export interface StoreUnderTest {
  readonly store: LeasedStore;
  /** Forgets all revisions before the newest. Equivalent to: etcdctl compact REVISION */
  readonly compact: () => Promise<void> | void;
  /** Lets that many milliseconds pass. */
  readonly pause: (ms: number) => Promise<void>;
}

export interface StoreCase {
  readonly name: string;
  readonly run: (under: StoreUnderTest) => Promise<void>;
}

const none = (prefix: string): Guard => ({ kind: 'none', prefix });
const nothingNewer = (prefix: string, revision: string): Guard => ({
  kind: 'nothing-newer',
  prefix,
  revision,
});
const valuesOf = (entries: readonly (Entry | undefined)[]): (string | undefined)[] =>
  entries.map((entry) => entry?.value);
const numbered = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `k/${String(i).padStart(5, '0')}`);

/** Writes so many keys below `k/`, in transactions of a hundred. */
async function fill(store: Store, n: number): Promise<string[]> {
  const keys = numbered(n);
  for (let i = 0; i < n; i += 100)
    await store.commit(
      [],
      keys.slice(i, i + 100).map((key) => put(key, 'x')),
    );
  return keys;
}

async function keyOf(store: Store, key: string): Promise<Entry> {
  const [entry] = await store.get([key]);
  assert.ok(entry, key);
  return entry;
}

const keysOf = async (store: Store): Promise<string[]> => (await scanAll(store, '')).map(({ key }) => key);

export const STORE_CASES: readonly StoreCase[] = [
  {
    name: 'each guard holds on what is absent, and not on what is there',
    run: async ({ store }) => {
      const all = [absent('r/a'), none('r/'), nothingNewer('r/', '0')];
      assert.ok(await store.commit(all, [put('r/a', '1')]));
      for (const guard of all) assert.equal(await store.commit([guard], [put('r/b', '2')]), undefined);
      assert.deepEqual(valuesOf(await scanAll(store, '')), ['1']);
    },
  },
  {
    name: '`unchanged` holds until the key is written or deleted, also with the value that it had',
    run: async ({ store }) => {
      await store.commit([], [put('a', '1')]);
      const entry = await keyOf(store, 'a');
      assert.ok(await store.commit([unchanged(entry)], [put('a', '1')]));
      assert.equal(await store.commit([unchanged(entry)], [put('a', '2')]), undefined);
      const again = await keyOf(store, 'a');
      await store.commit([], [del('a')]);
      assert.equal(await store.commit([unchanged(again)], [put('a', '2')]), undefined);
      // An absent key has the modification revision 0.
      assert.ok(await store.commit([{ ...unchanged(again), revision: '0' } as Guard], [put('a', '2')]));
    },
  },
  {
    name: '`same` compares the value alone; an absent key has none',
    run: async ({ store }) => {
      const first = { key: 'a', value: '1' };
      assert.equal(await store.commit([same(first)], [put('b', '1')]), undefined);
      assert.equal(await store.commit([same({ ...first, value: '' })], [put('b', '1')]), undefined);
      await store.commit([], [put('a', '1')]);
      await store.commit([], [put('a', '2')]);
      assert.equal(await store.commit([same(first)], [put('b', '1')]), undefined);
      await store.commit([], [put('a', '1')]);
      assert.ok(await store.commit([same(first)], [put('b', '1')]));
    },
  },
  {
    name: '`nothing-newer` counts what is written after the revision, and no deletion',
    run: async ({ store }) => {
      await store.commit([], [put('r/a', '1'), put('r/b', '1'), put('rx', '1')]);
      const { revision } = await keyOf(store, 'r/a');
      await store.commit([], [put('rx', '2'), del('r/b')]);
      assert.ok(await store.commit([nothingNewer('r/', revision)], [put('s/a', '1')]));
      await store.commit([], [put('r/b', '2')]);
      assert.equal(await store.commit([nothingNewer('r/', revision)], [put('s/b', '1')]), undefined);
    },
  },
  {
    name: 'a commit returns the revision that its keys get; one that changes nothing makes no revision',
    run: async ({ store }) => {
      const revision = await store.commit([], [put('a', '1'), put('b', '1')]);
      assert.equal((await keyOf(store, 'a')).revision, revision);
      assert.equal((await keyOf(store, 'b')).revision, revision);
      assert.equal(await store.commit([], [del('none')]), revision);
      assert.equal(await store.commit([], []), revision);
      assert.equal(await store.commit([absent('a')], [put('a', '2')]), undefined);
      assert.equal(await store.commit([], [put('c', '1')]), String(Number(revision) + 1));
    },
  },
  {
    name: 'all writes or none; a key twice in one transaction is refused, unless deleted twice',
    run: async ({ store }) => {
      await store.commit([], [put('a', '1')]);
      for (const twice of [
        [put('b', '1'), put('b', '2')],
        [put('b', '1'), del('b')],
      ])
        await assert.rejects(store.commit([], [put('c', '1'), ...twice]), {
          code: 'store-failed',
          message: /duplicate key given in txn request/,
        });
      assert.ok(await store.commit([], [del('a'), del('a'), put('d', '1')]));
      assert.deepEqual(
        (await scanAll(store, '')).map(({ key }) => key),
        ['d'],
      );
    },
  },
  {
    name: 'a transaction takes 128 operations and as many guards, and no more',
    run: async ({ store }) => {
      const keys = numbered(129);
      const puts = keys.map((key) => put(key, 'x'));
      assert.ok(await store.commit(keys.slice(1).map(absent), puts.slice(1)));
      const tooMany = { code: 'store-failed', message: /too many operations in txn request/ };
      await assert.rejects(store.commit([], puts), tooMany);
      await assert.rejects(store.commit(keys.map(absent), [put('a', '1')]), tooMany);
      assert.deepEqual(await store.count(['k/', 'a']), [128, 0]);
    },
  },
  {
    name: 'a request of more than 1.5 MiB is refused',
    run: async ({ store }) => {
      assert.ok(await store.commit([], [put('a', 'x'.repeat(1_500_000))]));
      await assert.rejects(store.commit([], [put('a', 'x'.repeat(1_600_000))]), {
        code: 'store-failed',
        message: /request is too large/,
      });
    },
  },
  {
    name: 'a scan yields every key in order, and nothing that is written meanwhile',
    run: async ({ store }) => {
      const keys = await fill(store, 1_100);
      await store.commit([], [put('kx', 'beside'), put('j', 'before')]);
      const seen: Entry[] = [];
      let revision: string | undefined;
      for await (const page of store.scan('k/', { onRevision: (at) => (revision = at) })) {
        if (seen.length === 0)
          await store.commit([], [put('k/01000', 'changed'), put('k/99999', 'late'), del('k/00999')]);
        seen.push(...page);
      }
      assert.deepEqual(
        seen.map(({ key }) => key),
        keys,
      );
      assert.ok(seen.every(({ value }) => value === 'x'));
      assert.equal((await keyOf(store, 'kx')).revision, revision);
      assert.deepEqual(await store.count(['k/', 'none/']), [1_100, 0]);
    },
  },
  {
    name: 'keys alone come with an empty value; an absent prefix yields nothing',
    run: async ({ store }) => {
      await store.commit([], [put('a/1', 'x'), put('a/2', 'y')]);
      const found = await scanAll(store, 'a/', { keysOnly: true });
      assert.deepEqual(valuesOf(found), ['', '']);
      assert.deepEqual(await scanAll(store, 'b/'), []);
    },
  },
  {
    name: 'a get keeps the order, and takes more keys than a transaction',
    run: async ({ store }) => {
      await fill(store, 250);
      const wanted = ['k/00249', 'none', 'k/00000', ...numbered(250)];
      const found = await store.get(wanted);
      assert.deepEqual(
        found.map((entry) => entry?.key),
        ['k/00249', undefined, 'k/00000', ...numbered(250)],
      );
    },
  },
  {
    name: 'a key ends with its lease, unless it was written without one since; that makes a revision',
    run: async ({ store }) => {
      const lease = await store.leases.grant(60_000);
      const revision = await store.commit([], [put('a', '1', lease), put('b', '1', lease), put('c', '1')]);
      await store.commit([], [put('b', '2')]);
      assert.equal(await store.leases.keepAlive(lease), true);
      await store.leases.revoke(lease);
      assert.deepEqual(await keysOf(store), ['b', 'c']);
      assert.equal(await store.commit([], [put('d', '1')]), String(Number(revision) + 3));
      assert.equal(await store.leases.keepAlive(lease), false);
      await store.leases.revoke(lease);
      await assert.rejects(store.commit([], [put('e', '1', lease)]), {
        code: 'store-failed',
        message: /requested lease not found/,
      });
    },
  },
  {
    name: 'a lease ends when nobody keeps it alive',
    run: async ({ store, pause }) => {
      const [kept, left] = [await store.leases.grant(4_000), await store.leases.grant(4_000)];
      await store.commit([], [put('kept', '1', kept), put('left', '1', left)]);
      await pause(2_500);
      assert.equal(await store.leases.keepAlive(kept), true);
      await pause(2_900);
      assert.deepEqual(await keysOf(store), ['kept']);
      assert.equal(await store.leases.keepAlive(left), false);
    },
  },
  {
    name: 'a read tells the state of etcd that it is of',
    run: async ({ store }) => {
      const revision = await store.commit([], [put('a', '1')]);
      const states: { clusterId: string; revision: string }[] = [];
      const onState = (state: (typeof states)[number]): void => void states.push(state);
      await store.get(['a'], { onState });
      await store.commit([], [put('a', '2')]);
      await store.get(numbered(250), { onState });
      assert.deepEqual(
        states.map((state) => state.revision),
        [revision, String(Number(revision) + 1)],
      );
      assert.match(states[0]?.clusterId ?? '', /^[1-9]\d*$/);
      assert.equal(states[0]?.clusterId, states[1]?.clusterId);
    },
  },
  {
    name: 'a scan fails when its revision is compacted between two pages',
    run: async ({ store, compact }) => {
      await fill(store, 1_100);
      const read = async (): Promise<void> => {
        for await (const page of store.scan('k/')) {
          assert.ok(page.length > 0);
          await store.commit([], [put('a', '1')]);
          await compact();
        }
      };
      await assert.rejects(read(), {
        code: 'store-compacted',
        message: /mvcc: required revision has been compacted/,
        uncertain: false,
      });
      assert.deepEqual(await store.count(['k/']), [1_100]);
    },
  },
  {
    name: 'a whole list that is compacted between two pages is read again, as of a later moment',
    run: async ({ store, compact }) => {
      // More than any page: the second reading may have larger ones.
      await fill(store, 4_100);
      let readings = 0;
      const read = async (): Promise<string[]> => {
        readings++;
        const keys: string[] = [];
        for await (const page of store.scan('k/')) {
          keys.push(...page.map(({ key }) => key));
          if (readings > 2) continue;
          await store.commit([], [put(`k/0-${readings}`, 'new')]);
          await compact();
        }
        return keys;
      };
      const keys = await readAgain(read);
      assert.equal(readings, 3);
      assert.equal(new Set(keys).size, 4_102);
      assert.equal(keys.length, 4_102);
      readings = -100;
      await assert.rejects(readAgain(read), { code: 'store-compacted' });
      assert.equal(readings, -95, 'it gives up after five readings');
    },
  },
];
