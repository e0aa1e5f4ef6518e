import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { readOwnAllocations } from '../../../ipam/node/own-allocations.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { SET_BACK } from '../../../ipam/records/set-back-record.ts';
import type { Entry } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import { type Node, twoNodes } from './living-node.ts';
import type { World } from './world.ts';
import { owner, range } from './world.ts';

const snapshot = (world: World): { entries: Map<string, Entry>; revision: bigint } => ({
  entries: new Map(world.store.entries),
  revision: world.store.revision,
});

function restore(world: World, { entries, revision }: ReturnType<typeof snapshot>): void {
  world.store.entries.clear();
  for (const [key, entry] of entries) world.store.entries.set(key, entry);
  world.store.revision = revision;
}

/** Checks that etcd has every address of the nodes' living pods, and has it once. */
function allKnown(world: World, ...nodes: Node[]): void {
  const living = nodes.flatMap(({ carried }) =>
    [...carried].map(
      ([
        ip,
        {
          owner: { containerId },
        },
      ]) => [ip, containerId],
    ),
  );
  const held = world.given();
  assert.deepEqual(
    living.filter(([ip = '', id]) => held.get(ip) !== id),
    [],
  );
  assert.deepEqual(world.problems(), []);
}

suite('an etcd that has forgotten', () => {
  test('is told what lives, before it gives out anything', async () => {
    const { world, a } = await twoNodes();
    await a.start('p0');
    const before = snapshot(world);
    for (let i = 1; i < 40; i++) await a.start(`p${i}`);
    restore(world, before);
    for (let i = 40; i < 60; i++) await a.start(`p${i}`);
    assert.equal(a.carried.size, 60);
    allKnown(world, a);
    assert.equal(a.told.length, 1);
    assert.match(a.told[0]?.reason ?? '', /revision went back/);
    assert.equal(a.told[0]?.restored.length, 39);
    assert.ok(world.store.entries.has(SET_BACK));
  });

  test('the revision has counted up to where it was: the node’s own count of writes shows it', async () => {
    const { world, a } = await twoNodes();
    await a.start('p0');
    const before = snapshot(world);
    await a.start('lost');
    restore(world, before);
    for (let i = 0; i < 10; i++) await world.store.commit([], [{ kind: 'put', key: 'other', value: `${i}` }]);
    await a.start('p1');
    assert.match(a.told[0]?.reason ?? '', /count of writes went back from 2 to 1/);
    allKnown(world, a);
  });

  test('another cluster in its place is told by its ID', async () => {
    const { world, a } = await twoNodes();
    await a.start('p0');
    world.store.clusterId = '255';
    await a.start('p1');
    assert.match(a.told[0]?.reason ?? '', /cluster ID was 1 and is ff/);
  });

  test('what is written back may be more than one transaction can hold', async () => {
    const { world, a } = await twoNodes('10.20.0.0/20');
    const before = snapshot(world);
    for (let i = 0; i < 400; i++) await a.start(`p${i}`);
    restore(world, before);
    await a.start('one-more');
    allKnown(world, a);
    assert.equal(world.given().size, 401);
  });

  test('an address of which it names the owner of then is entered for the pod that has it', async () => {
    const { world, a } = await twoNodes();
    const ip = await a.start('then');
    const before = snapshot(world);
    await release(a.ipam, {
      node: 'a',
      attachment: { containerId: 'then', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    a.carried.clear();
    await a.start('now', ip);
    restore(world, before);
    await a.start('next');
    assert.equal(a.carried.get(ip)?.owner.containerId, 'now');
    allKnown(world, a);
    assert.equal([...world.given().values()].includes('then'), false);
  });

  test('a pod that was started again has only the address of now', async () => {
    const { world, a } = await twoNodes();
    const former = await a.start('p');
    const before = snapshot(world);
    await release(a.ipam, {
      node: 'a',
      attachment: { containerId: 'p', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    a.carried.clear();
    await a.start('p', '10.20.0.9');
    restore(world, before);
    await a.start('next');
    allKnown(world, a);
    assert.equal(world.given().get('10.20.0.9'), 'p');
    assert.notEqual(world.given().get(former), 'p');
  });

  test('an attachment that is gone is not written back', async () => {
    const { world, a } = await twoNodes();
    const before = snapshot(world);
    const ip = await a.start('gone');
    restore(world, before);
    a.livingCarriers = () => Promise.resolve({ carriers: [], unlock: () => undefined });
    await readOwnAllocations(a.ipam, 'a');
    assert.equal(world.given().has(ip), false);
  });

  test('a running pod whose address another node’s block has keeps its interface: no other address', async () => {
    const { world, a, b } = await twoNodes('10.20.0.0/27');
    const before = snapshot(world);
    const ip = await a.start('mine', '10.20.0.5');
    restore(world, before);
    await b.start('other', '10.20.0.6');
    const again = (): Promise<Allocation[]> =>
      allocate(a.ipam, {
        node: 'a',
        owner: owner('mine'),
        families: [4],
        known: [parseAddress(ip)],
      });
    await assert.rejects(again, { code: 'taken', message: /container mine runs with 10\.20\.0\.5/ });
    assert.deepEqual([...world.given().values()], ['other']);
    // Once it has ended it can have another.
    a.carried.clear();
    const [other] = await again();
    assert.ok(other && formatAddress(other.address) !== ip);
  });

  test('a block that another node has claimed and does not use is taken over', async () => {
    const { world, a, b } = await twoNodes('10.20.0.0/28');
    const before = snapshot(world);
    const ip = await a.start('mine');
    restore(world, before);
    const other = await b.start('passing', ip === '10.20.0.5' ? '10.20.0.6' : '10.20.0.5');
    await release(b.ipam, { node: 'b', attachment: owner('passing'), cause: { why: 'del' } });
    b.carried.delete(other);
    await readOwnAllocations(a.ipam, 'a');
    allKnown(world, a);
    assert.deepEqual(
      world.blocks().map(({ node }) => node),
      ['a'],
    );
  });

  test('in a block that another node uses, the address is kept from being given out', async () => {
    const { world, a, b } = await twoNodes('10.20.0.0/28');
    const before = snapshot(world);
    const ip = await a.start('mine');
    restore(world, before);
    await b.start('theirs', ip === '10.20.0.5' ? '10.20.0.6' : '10.20.0.5');
    await readOwnAllocations(a.ipam, 'a');
    assert.deepEqual(
      a.told.at(-1)?.setAside.map(({ address }) => formatAddress(address)),
      [ip],
    );
    for (let i = 0; i < 12; i++) await b.start(`b${i}`);
    assert.equal(b.carried.has(ip), false);
    await assert.rejects(b.start('one-too-many'), { code: 'exhausted' });
    // It stays so for as long as the pod lives.
    world.now += 50 * 60_000;
    await readOwnAllocations(a.ipam, 'a');
    world.now += 50 * 60_000;
    await assert.rejects(b.start('still-too-many'), { code: 'exhausted' });
  });

  test('an address that another pod has by now is a conflict, and stays as it is', async () => {
    const { world, a, b } = await twoNodes('10.20.0.0/28');
    const before = snapshot(world);
    const ip = await a.start('mine');
    restore(world, before);
    await b.start('theirs', ip);
    await readOwnAllocations(a.ipam, 'a');
    assert.equal(world.given().get(ip), 'theirs');
    const [conflict] = a.told.at(-1)?.conflicts ?? [];
    assert.equal(conflict?.owner.containerId, 'mine');
    assert.match(conflict.by, /a pod of node 'b'/);
  });

  test('an address of no range is told, and given to nobody once the range is there again', async () => {
    const { world, a } = await twoNodes('10.20.0.0/28');
    const before = snapshot(world);
    const ip = await a.start('mine');
    restore(world, { ...before, entries: new Map() });
    await readOwnAllocations(a.ipam, 'a');
    assert.deepEqual(
      a.told.at(-1)?.outside.map(({ address }) => formatAddress(address)),
      [ip],
    );
    assert.match(world.store.entries.get('lost/a')?.value ?? '', /"cidr":"10.20.0.0\/28","attachments":1/);
    await assert.rejects(a.start('too-early'), {
      code: 'exhausted',
      message: new RegExp(`etcd holds no range; pods of this node use ${ip}, of no range in etcd`),
      remedy: /cnictl restore FILE/,
    });
    const again = range('10.20.0.0/28', { name: 'again', cooldownMs: 0 });
    await assert.rejects(addRange(world.ipam, again), { code: 'in-use' });
    await addRange(world.ipam, again, { recover: true });
    await a.start('next');
    allKnown(world, a);
    assert.equal(world.store.entries.has('lost/a'), false);
    assert.equal(a.carried.size, 2);
  });

  test('for an hour after it new addresses are unproven, on every node', async () => {
    const { world, a, b } = await twoNodes();
    await b.start('before');
    const before = snapshot(world);
    await a.start('lost');
    restore(world, before);
    await readOwnAllocations(a.ipam, 'a');
    const one = async (): Promise<Allocation | undefined> =>
      (await allocate(b.ipam, { node: 'b', owner: owner(`b${world.now}`), families: [4] }))[0];
    assert.equal((await one())?.unproven, true);
    world.now += 3_600_001;
    assert.equal((await one())?.unproven, false);
  });
});
