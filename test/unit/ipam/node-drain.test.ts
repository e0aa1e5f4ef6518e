import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { roomFor } from '../../../ipam/allocate/room.ts';
import { claimAhead, returnIdle } from '../../../ipam/allocate/warm-blocks.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { drainingSince, setNodeDraining } from '../../../ipam/node/drain.ts';
import { addRange, setRangeState } from '../../../ipam/ranges/ranges.ts';
import { decodeDrainMark, drainKey, isDrainKey } from '../../../ipam/records/node-record.ts';
import { release } from '../../../ipam/release/release.ts';
import { owner, range, World } from './world.ts';

const DRAINING = (error: unknown): boolean =>
  error instanceof IpamError && error.code === 'exhausted' && /node 'n' is draining/.test(error.message);
const request = (id: string): Parameters<typeof allocate>[1] => ({
  node: 'n',
  owner: owner(id),
  families: [4],
});

suite('a draining node', () => {
  const world = async (): Promise<World> => {
    const it = new World();
    await addRange(it.ipam, range('10.20.0.0/24', { cooldownMs: 1_000 }));
    return it;
  };

  test('gives out nothing new, keeps what it gave, and takes back', async () => {
    const it = await world();
    const [before] = await allocate(it.ipam, request('old'));
    assert.equal(await setNodeDraining(it.ipam, 'n', true), true);
    assert.equal(await setNodeDraining(it.ipam, 'n', true), false);
    assert.equal(await drainingSince(it.ipam, 'n'), it.now);
    await assert.rejects(allocate(it.ipam, request('new')), DRAINING);
    await assert.rejects(roomFor(it.ipam, { node: 'n', families: [4] }), DRAINING);
    assert.equal(await claimAhead(it.ipam, { node: 'n' }, 4), undefined);
    const [after] = await allocate(it.ipam, request('old'));
    assert.deepEqual(after?.address, before?.address);
    const gone = await release(it.ipam, {
      node: 'n',
      attachment: { containerId: 'old', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    assert.equal(gone.length, 1);
    assert.equal(await setNodeDraining(it.ipam, 'n', false), true);
    await allocate(it.ipam, request('new'));
    assert.equal(it.given().size, 1);
  });

  test('an agent learns it with its next write, and its end too', async () => {
    const it = await world();
    const agent = it.agent();
    await allocate(agent, request('one'));
    await setNodeDraining(it.ipam, 'n', true);
    await assert.rejects(allocate(agent, request('two')), DRAINING);
    assert.equal(it.given().size, 1);
    await setNodeDraining(it.ipam, 'n', false);
    await allocate(agent, request('two'));
    assert.equal(it.given().size, 2);
  });

  test('that has no block yet claims none', async () => {
    const it = await world();
    await setNodeDraining(it.ipam, 'n', true);
    await assert.rejects(allocate(it.agent(), request('one')), DRAINING);
    assert.deepEqual(it.blocks(), []);
  });

  test('another node is not touched by it, whatever its name', async () => {
    const it = await world();
    await setNodeDraining(it.ipam, 'n', true);
    await allocate(it.ipam, { ...request('one'), node: 'n2' });
    await allocate(it.ipam, { ...request('two'), node: 'draining' });
    assert.equal(it.given().size, 2);
  });

  test('costs no further read', async () => {
    const it = await world();
    await allocate(it.ipam, request('one'));
    const reads: string[] = [];
    it.store.before = (kind) => Promise.resolve(void reads.push(kind));
    await allocate(it.ipam, request('two'));
    // Index and machine record at once, then the blocks.
    assert.deepEqual(reads, ['scan', 'get', 'get', 'commit']);
  });

  test('keeps no idle block', async () => {
    const it = await world();
    await allocate(it.ipam, request('one'));
    await release(it.ipam, {
      node: 'n',
      attachment: { containerId: 'one', ifname: 'eth0' },
      cause: { why: 'del' },
    });
    it.now += 1_001;
    const kept = await returnIdle(it.ipam, 'n', new Set());
    assert.equal(kept.idle.size, 0);
    await setNodeDraining(it.ipam, 'n', true);
    const { idle } = await returnIdle(it.ipam, 'n', new Set());
    await returnIdle(it.ipam, 'n', idle);
    assert.deepEqual(it.blocks(), []);
  });
});

test('of a draining range no idle block is kept either', async () => {
  const it = new World();
  await addRange(it.ipam, range('10.20.0.0/24', { name: 'blue', cooldownMs: 0 }));
  await allocate(it.ipam, request('one'));
  await release(it.ipam, {
    node: 'n',
    attachment: { containerId: 'one', ifname: 'eth0' },
    cause: { why: 'del' },
  });
  await setRangeState(it.ipam, 'blue', 'draining');
  const { idle } = await returnIdle(it.ipam, 'n', new Set());
  await returnIdle(it.ipam, 'n', idle);
  assert.deepEqual(it.blocks(), []);
});

test('the mark: its key is no entry of an index, and its value is checked', () => {
  assert.ok(isDrainKey(drainKey('n')));
  assert.ok(!isDrainKey('nodes/n/10.20.0.0/28'));
  assert.ok(!isDrainKey('blocks/n/draining'));
  assert.throws(() => decodeDrainMark('k', 'x'), /etcd key 'k' holds no JSON/);
  assert.throws(
    () => decodeDrainMark('k', '{"v":2,"since":"2026-01-01T00:00:00.000Z"}'),
    /etcd key 'k' was written by a newer cellnet/,
  );
});
