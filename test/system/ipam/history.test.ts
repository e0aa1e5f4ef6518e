import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import { batchingIpam, directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { readHistory } from '../../../ipam/query/history.ts';
import { addRange, removeRange } from '../../../ipam/ranges/ranges.ts';
import { HISTORY } from '../../../ipam/records/keys.ts';
import { del, put, type Entry } from '../../../ipam/records/transaction.ts';
import { releaseAddress } from '../../../ipam/release/release-in-block.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll, type Store } from '../../../ipam/store/store.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { DEL, owner } from '../../unit/ipam/world.ts';

const attachment = (containerId: string): { containerId: string; ifname: string } => ({
  containerId,
  ifname: 'eth0',
});

suite('history on etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: Store;
  let prefixes = 0;
  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
  });
  after(() => scope.close());
  /** Returns IPAM on an etcd prefix of its own. */
  const fresh = async (cidr: string, blockSize = 16): Promise<Ipam> => {
    store = openEtcdStore({ endpoints: etcd.endpoints, prefix: `/test-${++prefixes}` });
    const opened = store;
    scope.defer(() => opened.close());
    const ipam = directIpam(store, hostEffects);
    await addRange(ipam, makeRange({ cidr: parseCidr(cidr), name: 'blue', cooldownMs: 0, blockSize }));
    return ipam;
  };
  const agentOf = ({ store: own, effects, observer }: Ipam): Ipam =>
    batchingIpam({ store: own, effects, observer, cache: new Map(), local: noLocalNode }, 30_000);
  const history = (): Promise<Entry[]> => scanAll(store, HISTORY);

  test('a release and what it tells have one revision, and of a crowd that releases the same, one tells', async () => {
    const ipam = await fresh('10.20.0.0/28');
    for (let round = 0; round < 5; round++) {
      const [given] = await allocate(ipam, { node: 'n', owner: owner(`c${round}`), families: [4] });
      const { address, slot } = given ?? assert.fail();
      const expected = { ...attachment(`c${round}`), sequence: slot.sequence };
      await Promise.all([
        ...Array.from({ length: 6 }, (_, i) =>
          releaseAddress(ipam, address, expected, { why: 'operator', by: `operator-${i}` }),
        ),
        release(ipam, { node: 'n', attachment: attachment(`c${round}`), cause: DEL }),
      ]);
      const entries = await history();
      assert.equal(entries.length, round + 1);
      const [block] = await scanAll(store, 'blocks/');
      assert.ok(entries.some(({ revision }) => revision === block?.revision));
    }
  });

  test('a full batch of two-family releases is one transaction that etcd takes, with all that it tells', async () => {
    const ipam = await fresh('10.20.0.0/22', 4);
    // In a larger range two blocks may share a ring, and overwrite what the other one told.
    await addRange(ipam, makeRange({ cidr: parseCidr('fd00::/112'), name: 'six', blockSize: 4 }));
    const agent = agentOf(ipam);
    const ids = Array.from({ length: 40 }, (_, i) => `c${i}`);
    await Promise.all(ids.map((id) => allocate(agent, { node: 'n', owner: owner(id), families: [4, 6] })));
    await Promise.all(ids.map((id) => release(agent, { node: 'n', attachment: attachment(id), cause: DEL })));
    const entries = await history();
    assert.equal(entries.length, 80);
    const sizes = new Map<string, number>();
    for (const { revision } of entries) sizes.set(revision, (sizes.get(revision) ?? 0) + 1);
    assert.ok(Math.max(...sizes.values()) >= 60, [...sizes.values()].join());
  });

  /** Deletes an empty block and its index key, as the drain of a node does. */
  const giveBack = (node: string): Promise<string | undefined> =>
    store.commit([], [del('blocks/blue/10.20.0.0/30'), del(`nodes/${node}/10.20.0.0/30`)]);

  test('the ring of a block goes on at its next node, and goes with its range', async () => {
    const ipam = await fresh('10.20.0.0/30', 4);
    const seen: string[] = [];
    for (let n = 0; n < 30; n++) {
      const node = `n${Math.floor(n / 7)}`;
      const [given] = await allocate(ipam, { node, owner: owner(`c${n}`), families: [4] });
      const { address } = given ?? assert.fail();
      seen.push(`${formatAddress(address)} c${n} ${node}`);
      await release(ipam, { node, attachment: attachment(`c${n}`), cause: DEL });
      if (n % 7 === 6) await giveBack(node);
    }
    const newest = seen.slice(-8);
    const told: string[] = [];
    for (const ip of ['10.20.0.1', '10.20.0.2']) {
      const { past } = await readHistory(ipam, parseAddress(ip));
      told.push(...past.map(({ owner: who, node }) => `${ip} ${who.containerId} ${node}`));
    }
    assert.deepEqual(told.sort(), [...newest].sort());
    assert.equal((await history()).length, 8);
    const other = Array.from({ length: 700 }, (_, i) => `history/blue/elsewhere/${i}`);
    for (let i = 0; i < other.length; i += 100)
      await store.commit(
        [],
        other.slice(i, i + 100).map((key) => put(key, 'x')),
      );
    await store.commit([], [put('history/blue2/x', 'x')]);
    await removeRange(ipam, 'blue');
    assert.deepEqual(
      (await history()).map(({ key }) => key),
      ['history/blue2/x'],
    );
  });
});
