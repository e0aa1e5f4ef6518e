import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import type { Guard, Write } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import { give, owner, range, World } from './world.ts';

const NODE = 'n';

const unanswered = (): IpamError =>
  new IpamError('store-unreachable', 'etcd did not answer in time', { uncertain: true });

/** A world whose next commits are lost, in the order given; the later ones succeed. */
async function world(...fates: ('before' | 'after' | 'late')[]): Promise<{
  it: World;
  /** Lets the commits arrive that are still on their way. Returns whether one took place. */
  arrive: () => Promise<boolean>;
}> {
  const it = new World();
  await addRange(it.ipam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0 }));
  await give(it, NODE, 'first');
  const late: [readonly Guard[], readonly Write[]][] = [];
  const commit = it.store.commit.bind(it.store);
  it.store.commit = async (guards, writes) => {
    const fate = fates.shift();
    if (fate === 'late') late.push([guards, writes]);
    if (fate === 'before' || fate === 'late') throw unanswered();
    const revision = await commit(guards, writes);
    if (fate === 'after') throw unanswered();
    return revision;
  };
  const arrive = async (): Promise<boolean> => {
    const done = await Promise.all(late.map(([guards, writes]) => commit(guards, writes)));
    return done.some((revision) => revision !== undefined);
  };
  return { it, arrive };
}

const request = (id: string) => ({ node: NODE, owner: owner(id), families: [4] as const });

suite('a change that etcd did not answer', () => {
  test('was carried out: it counts as done, and its addresses as new', async () => {
    const { it } = await world('after');
    const [allocation] = await allocate(it.ipam, request('a'));
    assert.equal(allocation?.fresh, true);
    assert.equal(it.given().size, 2);
    assert.deepEqual(it.problems(), []);
  });

  test('was carried out, and another of the node followed: its addresses are still new', async () => {
    const { it } = await world('after');
    const commit = it.store.commit.bind(it.store);
    let count = 0;
    it.store.commit = async (guards, writes) => {
      try {
        return await commit(guards, writes);
      } catch (error) {
        if (count++ === 0) await give(it, NODE, 'other');
        throw error;
      }
    };
    const [allocation] = await allocate(it.ipam, request('a'));
    assert.equal(allocation?.fresh, true);
    assert.equal([...it.given().values()].filter((id) => id === 'a').length, 1);
    assert.deepEqual(it.problems(), []);
  });

  test('was repeated by the client, found its own write, and nobody can look: uncertain', async () => {
    const { it } = await world();
    const commit = it.store.commit.bind(it.store);
    it.store.commit = async (guards, writes) => {
      await commit(guards, writes);
      it.store.get = () => Promise.reject(new IpamError('store-unreachable', 'etcd is away'));
      return await commit(guards, writes);
    };
    await assert.rejects(allocate(it.ipam, request('a')), { code: 'store-unreachable', uncertain: true });
    assert.equal(it.given().size, 2);
  });

  test('was not carried out: it is done again, and can never take place later', async () => {
    const { it, arrive } = await world('late');
    await allocate(it.ipam, request('a'));
    assert.equal(it.given().size, 2);
    assert.equal(await arrive(), false);
    assert.equal(it.given().size, 2);
  });

  test('a release that was carried out does not free what another has got since', async () => {
    const { it } = await world('after');
    await release(it.ipam, { node: NODE, attachment: owner('first'), cause: { why: 'del' } });
    assert.equal(it.given().size, 0);
  });

  test('with no time left the error stays uncertain; a fencing release then settles it', async () => {
    const { it, arrive } = await world('late');
    const commit = it.store.commit.bind(it.store);
    it.store.commit = (guards, writes) => {
      it.now += 6_000;
      return commit(guards, writes);
    };
    await assert.rejects(allocate(it.ipam, request('a')), { uncertain: true });
    const attachment = owner('a');
    const released = await release(it.ipam, {
      node: NODE,
      attachment,
      fencing: true,
      cause: { why: 'put-off' },
    });
    assert.deepEqual(released, []);
    assert.equal(await arrive(), false, 'the change took place after the release');
    assert.deepEqual([...it.given().values()], ['first']);
  });

  test('the client has repeated it at another member: the repeat is no lost race', async () => {
    const { it } = await world();
    const commit = it.store.commit.bind(it.store);
    let commits = 0;
    it.store.commit = async (guards, writes) => {
      commits++;
      await commit(guards, writes);
      return await commit(guards, writes);
    };
    const [allocation] = await allocate(it.ipam, request('a'));
    assert.equal(allocation?.fresh, true);
    assert.equal(commits, 1);
    assert.equal(it.given().size, 2);
  });
});
