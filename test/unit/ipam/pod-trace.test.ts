import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { MAX_PAST, tracePod } from '../../../ipam/query/pod-trace.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import { DEL, owner, range, World } from './world.ts';

const WEB = { namespace: 'shop', name: 'web-1' };
const none = (): void => undefined;

async function blue(): Promise<World> {
  const world = new World();
  await addRange(world.ipam, range('10.20.0.0/24', { name: 'blue', vlan: 120, cooldownMs: 0 }));
  return world;
}

async function give(world: World, node: string, id: string, pod: Partial<typeof WEB> = {}): Promise<string> {
  const { namespace: podNamespace, name: podName } = { ...WEB, ...pod };
  const given = await allocate(world.ipam, {
    node,
    owner: owner(id, { podNamespace, podName, podUid: `uid-${id}` }),
    families: [4],
  });
  return given.map(({ address }) => formatAddress(address)).join();
}

const free = (world: World, node: string, id: string): Promise<string[]> =>
  release(world.ipam, { node, attachment: { containerId: id, ifname: 'eth0' }, cause: DEL });

suite('what etcd knows of a pod', () => {
  test('is every address of its name, whatever the UID and the node, and no other pod', async () => {
    const world = await blue();
    const ips = [await give(world, 'n1', 'a'), await give(world, 'n2', 'b')];
    await give(world, 'n1', 'c', { name: 'web-10' });
    await give(world, 'n1', 'd', { namespace: 'other' });
    await give(world, 'n1', 'e', { namespace: 'web-1', name: 'shop' });
    const past = await give(world, 'n1', 'f');
    await give(world, 'n1', 'g', { namespace: 'other' });
    await free(world, 'n1', 'f');
    await free(world, 'n1', 'g');
    const pages: number[] = [];
    const trace = await tracePod(world.ipam, WEB, (n) => pages.push(n));
    assert.deepEqual(trace.held.map(({ address }) => formatAddress(address)).sort(), ips.sort());
    assert.deepEqual(
      trace.held.map(({ node, vlan, slot }) => `${node} ${vlan ?? '-'} ${slot.owner.podUid ?? ''}`).sort(),
      ['n1 120 uid-a', 'n2 120 uid-b'],
    );
    assert.deepEqual(
      trace.past.map(({ address, owner: { podUid } }) => `${formatAddress(address)} ${podUid ?? ''}`),
      [`${past} uid-f`],
    );
    assert.deepEqual([trace.omitted, trace.unreadable], [0, []]);
    assert.deepEqual(pages, [2, 4]);
  });

  test('tells an address that is released while it is read once, as past', async () => {
    const world = await blue();
    await give(world, 'n1', 'a');
    let scans = 0;
    world.store.before = async (request) => {
      if (request !== 'scan' || ++scans !== 3) return;
      world.store.before = () => Promise.resolve();
      await free(world, 'n1', 'a');
    };
    const { held, past } = await tracePod(world.ipam, WEB, none);
    assert.equal(scans, 3);
    assert.deepEqual([held.length, past.length], [0, 1]);
  });

  test('is the newest of many past ones, and how many more there are', async () => {
    const world = await blue();
    const total = MAX_PAST + 30;
    for (let n = 0; n < total; n++) {
      world.now += 1_000;
      // The containers run on several nodes, because one block does not keep so many entries.
      await give(world, `n${n % 5}`, `c${n}`);
      await free(world, `n${n % 5}`, `c${n}`);
    }
    const { past, omitted } = await tracePod(world.ipam, WEB, none);
    assert.equal(omitted, 30);
    assert.deepEqual(
      past.map(({ owner: { containerId } }) => containerId),
      Array.from({ length: MAX_PAST }, (_, i) => `c${total - 1 - i}`),
    );
  });

  test('leaves out what cannot be read of the history, and says so', async () => {
    const world = await blue();
    await give(world, 'n1', 'a');
    await free(world, 'n1', 'a');
    const broken = '{"v":9,"podName":"web-1"}';
    await world.store.commit(
      [],
      [
        put('history/blue/10.20.0.0/28/7', broken),
        put('history/gone/10.99.0.0/28/0', broken),
        put('history/blue/10.20.0.0/28/8', '{"v":9}'),
      ],
    );
    const { past, unreadable } = await tracePod(world.ipam, WEB, none);
    assert.equal(past.length, 1);
    assert.equal(unreadable.length, 2, 'what does not name the pod is not looked at');
    const reasons = unreadable.map(({ reason }) => reason).join('\n');
    assert.match(reasons, /history\/blue\/10\.20\.0\.0\/28\/7' was written by a newer cellnet/);
    assert.match(reasons, /history\/gone\/.* is of a range that etcd does not hold/);
  });
});
