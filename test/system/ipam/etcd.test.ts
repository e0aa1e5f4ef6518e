import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatCidr, offsetAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, takeSlot, type Block } from '../../../ipam/model/block.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import { blockAt } from '../../../ipam/model/range.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { addRange, removeRange } from '../../../ipam/ranges/ranges.ts';
import { encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey, nodeKey } from '../../../ipam/records/keys.ts';
import { encodeNodeEntry } from '../../../ipam/records/node-record.ts';
import { absent, put, same, unchanged } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import type { EtcdSettings } from '../../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll, type Store } from '../../../ipam/store/store.ts';
import { allCandidates } from '../../support/candidates.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { owner } from '../../unit/ipam/world.ts';

const ipamOn = (store: Store): Ipam => directIpam(store, hostEffects);

/** Assigns every address of the block to a container of its own. */
function usedUp(block: Block): Block {
  const id = (i: number): string => `${formatCidr(block.cidr).replace(/\W/g, '-')}-${i}`;
  return allCandidates(block, 0, 0).reduce(
    (left, { index }) => takeSlot(left, index, owner(id(index)), 1).block,
    block,
  );
}

suite('the store on etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: Store;
  let prefixes = 0;
  const settings = (): EtcdSettings => ({ endpoints: etcd.endpoints, prefix: `/test-${prefixes}` });
  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
  });
  after(() => scope.close());
  /** Opens a store with a prefix of its own. */
  const fresh = (options?: Parameters<typeof openEtcdStore>[1]): Store => {
    prefixes++;
    store = openEtcdStore(settings(), options);
    scope.defer(() => store.close());
    return store;
  };

  test('a scan gives every key in order, in pages, as of one moment; a count the same number', async () => {
    const { commit } = { commit: fresh().commit.bind(store) };
    const keys = Array.from({ length: 1203 }, (_, i) => `blocks/r/${String(i).padStart(5, '0')}`);
    for (let i = 0; i < keys.length; i += 100)
      assert.ok(
        await commit(
          [],
          keys.slice(i, i + 100).map((key) => put(key, `v-${key}`)),
        ),
      );
    await commit([], [put('blocks/s/1', 'x'), put('blocksx', 'x')]);
    const pages: number[] = [];
    const seen: string[] = [];
    for await (const page of store.scan('blocks/r/')) {
      pages.push(page.length);
      seen.push(...page.map((entry) => entry.key));
      // The scan does not see what a later transaction writes.
      if (pages.length === 1)
        await commit([], [put('blocks/r/99999', 'late'), put('blocks/r/01000', 'changed')]);
    }
    assert.deepEqual(seen, keys);
    assert.ok(pages.length > 1);
    assert.deepEqual(await store.count(['blocks/r/', 'blocks/s/', 'blocks/none/']), [1204, 1, 0]);
    const [entry] = await scanAll(store, 'blocks/s/', { keysOnly: true });
    assert.deepEqual([entry?.key, entry?.value], ['blocks/s/1', '']);
  });

  test('get keeps the order, and more keys than a transaction takes', async () => {
    fresh();
    await store.commit([], [put('a', '1'), put('c', '3')]);
    const keys = ['c', 'b', 'a', ...Array.from({ length: 300 }, (_, i) => `x${i}`)];
    const found = await store.get(keys);
    assert.deepEqual(
      found.slice(0, 3).map((entry) => entry?.value),
      ['3', undefined, '1'],
    );
    assert.equal(found.length, 303);
  });

  test('each guard holds and fails as it says, also on absent keys', async () => {
    fresh();
    assert.ok(
      await store.commit(
        [
          absent('r/a'),
          { kind: 'none', prefix: 'r/' },
          { kind: 'nothing-newer', prefix: 'r/', revision: '0' },
        ],
        [put('r/a', '1')],
      ),
    );
    const [entry] = await store.get(['r/a']);
    assert.ok(entry);
    assert.equal(await store.commit([absent('r/a')], [put('r/b', '1')]), undefined);
    assert.equal(await store.commit([{ kind: 'none', prefix: 'r/' }], [put('r/b', '1')]), undefined);
    const newer = { kind: 'nothing-newer', prefix: 'r/', revision: entry.revision } as const;
    assert.ok(await store.commit([newer, unchanged(entry)], [put('r/b', '1')]));
    assert.equal(await store.commit([newer], [put('r/c', '1')]), undefined);
    assert.equal(await store.commit([same({ key: 'r/a', value: '0' })], [put('r/c', '1')]), undefined);
    assert.equal(await store.commit([same({ key: 'r/x', value: '' })], [put('r/c', '1')]), undefined);
    assert.ok(await store.commit([unchanged(entry), same(entry)], [put('r/a', '2')]));
    assert.equal(await store.commit([same(entry)], [put('r/a', '3')]), undefined);
    assert.equal(await store.commit([unchanged(entry)], [put('r/a', '3')]), undefined);
    assert.deepEqual(
      (await scanAll(store, 'r/')).map(({ value }) => value),
      ['2', '1'],
    );
  });

  test('a node with 1,000 blocks gives out, releases and claims as one with a single block', async () => {
    const ipam = ipamOn(fresh());
    const blue = makeRange({ name: 'blue', cidr: parseCidr('10.20.0.0/19'), blockSize: 4, cooldownMs: 0 });
    await addRange(ipam, blue);
    const blocks = Array.from({ length: 1_000 }, (_, i) => {
      const cidr = blockAt(blue, offsetAddress(blue.cidr.base, BigInt(4 * i)));
      const slots = newBlock(blue, cidr, 'n', 0);
      return i === 500 ? slots : usedUp(slots);
    });
    for (let i = 0; i < blocks.length; i += 40)
      assert.ok(
        await store.commit(
          [],
          blocks
            .slice(i, i + 40)
            .flatMap((block) => [
              put(blockKey('blue', block.cidr), encodeBlock(block)),
              put(nodeKey('n', block.cidr), encodeNodeEntry(block)),
            ]),
        ),
      );
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const given: Allocation[][] = [];
    for (const id of ids) given.push(await allocate(ipam, { node: 'n', owner: owner(id), families: [4] }));
    const inFree = given.filter(([each]) => each && formatCidr(each.block) === '10.20.7.208/30');
    assert.equal(inFree.length, 4, 'the four of the free block, and one of a newly claimed one');
    for (const id of ids) {
      const released = await release(ipam, { node: 'n', attachment: owner(id), cause: { why: 'del' } });
      assert.equal(released.length, 1);
    }
    assert.equal(await etcd.count(`/test-${prefixes}/v1/nodes/n/`), 1_001);
  });

  test('prefixes are apart', async () => {
    fresh();
    await store.commit([], [put('ranges/a', '1')]);
    const other = openEtcdStore({ ...settings(), prefix: `${settings().prefix}-other` });
    assert.deepEqual(await scanAll(other, 'ranges/'), []);
    other.close();
  });

  test('20 callers on one node and 4 nodes at once: distinct addresses', async () => {
    const ipam = ipamOn(fresh());
    await addRange(ipam, makeRange({ cidr: parseCidr('10.20.0.0/22'), gateway: parseAddress('10.20.0.1') }));
    const calls = [
      ...Array.from({ length: 20 }, (_, i) => ({ node: 'n0', id: `a${i}` })),
      ...Array.from({ length: 20 }, (_, i) => ({ node: `n${(i % 4) + 1}`, id: `b${i}` })),
    ];
    const given = await Promise.all(
      calls.map(({ node, id }) => allocate(ipam, { node, owner: owner(id), families: [4] })),
    );
    assert.equal(new Set(given.flatMap((each) => each.map(({ address }) => address.value))).size, 40);
    const { blocks } = await listBlocks(ipam);
    assert.equal(blocks.filter(({ block }) => block.node === 'n0').length, 2);
    assert.equal(new Set(blocks.map(({ block }) => block.cidr.base.value)).size, blocks.length);
  });

  test('of two overlapping ranges added at once, just one is there; a range removed while it is used stays', async () => {
    const ipam = ipamOn(fresh());
    for (let round = 0; round < 10; round++) {
      const results = await Promise.allSettled(
        ['10.20.0.0/22', '10.20.2.0/23'].map((cidr, i) =>
          addRange(ipam, makeRange({ cidr: parseCidr(cidr), name: `r${i}` })),
        ),
      );
      assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
      const [entry] = await scanAll(store, 'ranges/');
      assert.ok(entry);
      const name = entry.key.slice('ranges/'.length);
      const race = await Promise.allSettled([
        removeRange(ipam, name),
        allocate(ipam, { node: 'n', owner: owner(`c${round}`), families: [4] }),
      ]);
      assert.equal(
        race.filter(({ status }) => status === 'fulfilled').length,
        1,
        'either it is gone, or an address is given out',
      );
      if (race[1].status === 'fulfilled') {
        const [allocation] = race[1].value;
        assert.ok(allocation);
        await store.commit([], [{ kind: 'delete', key: entry.key }]);
        for (const each of [...(await scanAll(store, 'blocks/')), ...(await scanAll(store, 'nodes/'))])
          await store.commit([], [{ kind: 'delete', key: each.key }]);
      }
    }
  });

  suite('trouble', () => {
    test('etcd that does not answer: told within the deadline; a write may have been carried out', async () => {
      fresh({ deadlineMs: 700 });
      await store.count(['a/']);
      etcd.pause();
      const started = performance.now();
      await assert.rejects(store.get(['a']), {
        code: 'store-unreachable',
        uncertain: false,
        message: /did not answer in time/,
      });
      await assert.rejects(store.commit([], [put('a', '1')]), { code: 'store-unreachable', uncertain: true });
      assert.ok(performance.now() - started < 3_000);
      etcd.resume();
      await store.get(['a']);
    });

    test('the whole work ends when it must', async () => {
      fresh({ expiresAt: performance.now() + 300 });
      etcd.pause();
      const started = performance.now();
      await assert.rejects(store.get(['a']), { code: 'store-unreachable' });
      assert.ok(performance.now() - started < 1_500);
      etcd.resume();
    });

    test('nobody listens', async () => {
      const none = openEtcdStore({ endpoints: ['http://127.0.0.1:1'], prefix: '/c' });
      await assert.rejects(none.get(['a']), {
        code: 'store-unreachable',
        message: /etcd at http:\/\/127\.0\.0\.1:1 is unreachable/,
      });
      none.close();
    });

    test('one of several endpoints is dead, or takes connections and never answers: another serves', async () => {
      const sockets = new Set<{ destroy(): void }>();
      const hole = createServer((socket) => void sockets.add(socket));
      await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
      const address = hole.address();
      const holePort = typeof address === 'object' && address ? address.port : 0;
      for (const bad of ['http://127.0.0.1:1', `http://127.0.0.1:${holePort}`]) {
        for (let round = 0; round < 4; round++) {
          const several = openEtcdStore(
            { endpoints: [bad, ...etcd.endpoints], prefix: '/c' },
            { deadlineMs: 2_000 },
          );
          assert.deepEqual(await several.get(['a']), [undefined]);
          several.close();
        }
      }
      const hung = `http://127.0.0.1:${holePort}`;
      const patient = openEtcdStore(
        { endpoints: [hung, ...etcd.endpoints], prefix: '/c' },
        { deadlineMs: 2_000 },
      );
      const started = performance.now();
      for (let n = 0; n < 30; n++) assert.deepEqual(await patient.get(['a']), [undefined]);
      const tookMs = performance.now() - started;
      assert.ok(tookMs < 2_000, `the hung endpoint was asked again and again: ${tookMs} ms`);
      patient.close();
      for (const socket of sockets) socket.destroy();
      hole.close();
    });
  });
});
