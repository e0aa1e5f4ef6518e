import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { presenceOf } from '../../../cnictl/node/presence.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { setNodeDraining } from '../../../ipam/node/drain.ts';
import { listBlocks } from '../../../ipam/query/views.ts';
import { encodeAliveRecord } from '../../../ipam/records/alive-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import { returnIdleBlock } from '../../../ipam/release/return-block.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { ipamOf, localNode, machine, recordOf } from '../ipam/machines.ts';
import { owner } from '../ipam/world.ts';

const REMOVE = 'node remove node-2 --yes --grace 60s';
/** Returns the world without node-2 and its pods in the cluster. */
const gone = async (): Promise<CliWorld> => {
  const world = await CliWorld.make();
  world.nodes = world.nodes.filter(({ name }) => name !== 'node-2');
  world.pods = world.pods.filter(({ name }) => name !== 'api-1');
  world.meanwhile = () => {
    world.ipam.now += 60_000;
    return Promise.resolve();
  };
  return world;
};
const held = (world: CliWorld, node: string): string[] =>
  [...world.ipam.store.entries.values()]
    .filter(({ key }) => !key.startsWith('history/'))
    .filter(({ key, value }) => key.startsWith(`nodes/${node}/`) || value.includes(`"node":"${node}"`))
    .map(({ key }) => key);
const addressOf = (world: CliWorld, id: string): string | undefined =>
  [...world.ipam.given()].find(([, each]) => each === id)?.[0];

suite('node remove', () => {
  test('frees everything of a node that is gone, and nothing of another', async () => {
    const world = await gone();
    const others = held(world, 'node-1');
    await setNodeDraining(world.ipam.ipam, 'node-2', true);
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 0, ran.stderr + ran.stdout);
    assert.deepEqual(held(world, 'node-2'), []);
    assert.deepEqual(held(world, 'node-1'), others);
    assert.deepEqual(world.ipam.problems(), []);
    // The first pause is the grace period between the two looks. The second lets the addresses
    // freed after it finish their cooldown.
    assert.equal(world.pauses[0], 60_000);
    assert.equal(world.pauses.length, 2);
    const again = await world.run(REMOVE);
    assert.deepEqual([again.status, again.stdout.includes('holds no block')], [0, true]);
  });

  test('is refused while the API server has the node, with --force too', async () => {
    const world = await CliWorld.make();
    const before = world.ipam.store.revision;
    for (const more of ['', ' --force', ' --dry-run']) {
      const ran = await world.run(`${REMOVE}${more}`);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /node 'node-2' is in the cluster at https:.*its blocks stay/);
    }
    assert.equal(world.ipam.store.revision, before);
  });

  test('without an API server only by force', async () => {
    const world = await gone();
    world.env = {};
    const refused = await world.run(REMOVE);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /no API server is known/);
    const forced = await world.run(`${REMOVE} --force`);
    assert.equal(forced.status, 0, forced.stderr);
    assert.deepEqual(held(world, 'node-2'), []);
  });

  test('an API server that cannot be asked, or fails at the second look, frees nothing', async () => {
    for (const failsAt of [1, 2]) {
      const world = await gone();
      let asked = 0;
      world.kube = {
        listNodes: () =>
          ++asked === failsAt
            ? Promise.reject(new KubeError('unreachable', 'it is away'))
            : Promise.resolve(world.nodes),
      };
      const before = world.ipam.store.revision;
      assert.equal((await world.run(REMOVE)).status, 2);
      assert.equal(world.ipam.store.revision, before);
    }
  });

  test('an API server that knows none of our nodes proves nothing', async () => {
    const world = await gone();
    world.nodes = [{ name: 'stranger', uid: 's', ready: true }];
    const before = world.ipam.store.revision;
    const ran = await world.run(REMOVE);
    assert.deepEqual([ran.status, world.ipam.store.revision], [2, before]);
    assert.match(ran.stderr, /it may be another cluster's/);
  });

  test('a pod that the API server still has keeps its address and its block', async () => {
    const world = await gone();
    world.pods.push(world.pod(4, 'api-1', { nodeName: 'node-2' }));
    const ip = addressOf(world, container(4)) ?? '';
    const dry = await world.run('node remove node-2 --dry-run');
    assert.equal(dry.status, 2);
    assert.match(dry.stdout, /kept: the API server still has pod shop\/api-1/);
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 2);
    assert.equal(world.ipam.given().get(ip), container(4));
    assert.match(ran.stdout, /left: addresses of it are given out/);
    assert.equal((await world.run(`${REMOVE} --force`)).status, 0);
    assert.deepEqual(held(world, 'node-2'), []);
  });

  test('is refused where the cluster has the machine by another name', async () => {
    const world = await gone();
    const before = world.ipam.store.revision;
    const ready = { uid: 'n2', ready: true };
    for (const [as, expected] of [
      ['node-2', /node 'node-2' is in the cluster .*its blocks stay/],
      ['node-2.example.com', /has a node 'node-2\.example\.com', which may be node 'node-2': nothing/],
    ] as const) {
      world.nodes = [
        { name: 'node-1', uid: 'n1', ready: true },
        { ...ready, name: as },
      ];
      for (const name of ['node-2', 'NODE-2']) {
        const ran = await world.run(REMOVE.replace('node-2', name));
        assert.deepEqual([ran.status, world.ipam.store.revision], [2, before]);
        assert.match(ran.stderr, expected);
      }
    }
    world.nodes = [
      { name: 'node-1', uid: 'n1', ready: true },
      { ...ready, name: 'worker-7' },
    ];
    world.pods.push(world.pod(4, 'api-1', { nodeName: 'worker-7' }));
    for (const more of ['', ' --force']) {
      const ran = await world.run(`${REMOVE}${more}`);
      assert.deepEqual([ran.status, world.ipam.store.revision], [2, before]);
      assert.match(ran.stderr, /by the name 'worker-7' \(Ready\), where a pod runs .*: its blocks stay/);
    }
  });

  test('--force removes a node whose name only resembles that of another machine', async () => {
    const world = await gone();
    world.nodes = [...world.nodes, { name: 'node-2.example.com', uid: 'n', ready: true }];
    assert.equal((await world.run(`${REMOVE} --force`)).status, 0);
    assert.deepEqual(held(world, 'node-2'), []);
  });

  test('a node that is made again between the looks loses nothing', async () => {
    const world = await gone();
    world.meanwhile = () => {
      world.nodes = [...world.nodes, { name: 'node-2', uid: 'n2-new', ready: true }];
      return Promise.resolve();
    };
    const before = world.ipam.store.revision;
    const ran = await world.run(REMOVE);
    assert.deepEqual([ran.status, world.ipam.store.revision], [2, before]);
    assert.match(ran.stderr, /node 'node-2' is in the cluster/);
  });

  test('a node that is made again while its addresses are freed loses nothing that it gives out', async () => {
    const world = await gone();
    const { ipam, store } = world.ipam;
    let commits = 0;
    let given: string | undefined;
    store.before = async (kind) => {
      if (kind !== 'commit' || ++commits !== 1) return;
      store.before = () => Promise.resolve();
      world.nodes = [...world.nodes, { name: 'node-2', uid: 'n2-new', ready: true }];
      const [one] = await allocate(ipam, { node: 'node-2', owner: owner('reborn'), families: [4] });
      given = one && formatAddress(one.address);
    };
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 2, ran.stdout);
    assert.equal(world.ipam.given().get(given ?? ''), 'reborn');
    assert.match(ran.stdout, /left: the node is in the cluster again/);
    assert.deepEqual(world.ipam.problems(), []);
  });

  test('and what it gives out at the last moment keeps its block', async () => {
    const world = await gone();
    const { ipam, store } = world.ipam;
    // The command asks the API server just before it deletes the block. The node returns right
    // after the answer.
    world.kube = { getNode: () => Promise.resolve(undefined) };
    let given: string | undefined;
    world.meanwhile = () => {
      world.ipam.now += 60_000;
      store.before = async (kind) => {
        if (kind !== 'commit' || given !== undefined) return;
        given = '';
        const [one] = await allocate(ipam, { node: 'node-2', owner: owner('reborn'), families: [4] });
        given = one && formatAddress(one.address);
      };
      return Promise.resolve();
    };
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 2, ran.stdout);
    assert.equal(world.ipam.given().get(given ?? ''), 'reborn');
    assert.deepEqual(world.ipam.problems(), []);
  });

  test('an address that changed hands between the looks is kept', async () => {
    const world = await gone();
    const ip = addressOf(world, container(4)) ?? '';
    world.meanwhile = async () => {
      world.ipam.now += 60_000;
      if (world.pauses.length > 1) return;
      await release(world.ipam.ipam, {
        node: 'node-2',
        attachment: { containerId: container(4), ifname: 'eth0' },
        cause: { why: 'del' },
      });
      await allocate(world.ipam.ipam, { node: 'node-2', owner: owner('young'), families: [4] });
    };
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 2);
    assert.ok([...world.ipam.given().values()].includes('young'), `${ip} ${ran.stdout}`);
  });

  test('what rests longer than --wait stays, and the next call takes it', async () => {
    const world = await gone();
    world.meanwhile = () => Promise.resolve();
    const ran = await world.run('node remove node-2 --yes --grace 0 --wait 0');
    assert.equal(ran.status, 2);
    assert.match(ran.stdout, /left: addresses of it rest/);
    assert.equal(addressOf(world, container(4)), undefined);
    world.ipam.now += 30_001;
    assert.equal((await world.run('node remove node-2 --yes --wait 0')).status, 0);
    assert.deepEqual(held(world, 'node-2'), []);
  });

  test('a node whose agent lives is refused, and nothing is changed', async () => {
    const world = await gone();
    const { store } = world.ipam;
    const value = encodeAliveRecord({ machine: '77d1e0c3a915', bootId: 'b', since: world.ipam.now });
    await store.commit([], [put('alive/node-2', value)]);
    const { revision } = store;
    const ran = await world.run(REMOVE);
    assert.equal(ran.status, 2);
    assert.match(
      ran.stderr,
      /an agent on machine 77d1e0c3a915 is alive under node name 'node-2' since .*: nothing was changed\n.*Stop it for good first/,
    );
    assert.equal(store.revision, revision);
    assert.equal((await world.run(`${REMOVE} --dry-run`)).status, 2);
  });

  test('by force it frees the name too, so that another machine can have it; the key of an agent is left to its lease', async () => {
    const world = await gone();
    const { store } = world.ipam;
    const value = encodeAliveRecord({ machine: '77d1e0c3a915', bootId: 'b', since: world.ipam.now });
    await store.commit([], [put('alive/node-2', value)]);
    const ran = await world.run(`${REMOVE} --force`);
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, /an agent on machine 77d1e0c3a915 is alive under node name 'node-2'/);
    assert.deepEqual(
      [store.entries.has('machines/node-2'), store.entries.has('alive/node-2')],
      [false, true],
    );
    const other = ipamOf(world.ipam, localNode(machine('new')));
    await allocate(other, { node: 'node-2', owner: owner('p'), families: [4] });
    assert.equal(recordOf(world.ipam, 'node-2')?.machine?.id, 'new');
  });

  test('a name without a block is freed, unless the node writes under it meanwhile', async () => {
    const world = await gone();
    const { ipam, store } = world.ipam;
    assert.equal((await world.run(REMOVE)).status, 0);
    const node = ipamOf(world.ipam, localNode(machine('new')));
    const [one] = await allocate(node, { node: 'node-2', owner: owner('p'), families: [4] });
    await release(ipam, { node: 'node-2', attachment: owner('p'), cause: { why: 'del' } });
    assert.ok(one);
    world.ipam.now += 3_600_000;
    for (const view of (await listBlocks(ipam)).blocks.filter(({ block }) => block.node === 'node-2'))
      if (view.range) await returnIdleBlock(ipam, view.range, view.block);
    assert.deepEqual(held(world, 'node-2'), []);
    store.before = async (kind) => {
      if (kind !== 'commit') return;
      store.before = () => Promise.resolve();
      await allocate(node, { node: 'node-2', owner: owner('q'), families: [4] });
    };
    const raced = await world.run(REMOVE);
    assert.equal(raced.status, 2, raced.stdout);
    assert.match(raced.stdout, /the name is in use again/);
    assert.ok([...world.ipam.given().values()].includes('q'));
    assert.ok(store.entries.has('machines/node-2'));
  });

  test('index keys that lead nowhere go with the node', async () => {
    const world = await gone();
    await world.ipam.store.commit(
      [],
      [
        {
          kind: 'put',
          key: 'nodes/node-2/10.20.2.0/28',
          value: '{"v":1,"range":"blue","claimedAt":"2026-01-01T00:00:00.000Z"}',
        },
      ],
    );
    const shown = JSON.parse((await world.run('node show node-2 -o json')).stdout) as {
      disagreements: unknown;
    };
    assert.deepEqual(shown.disagreements, [{ key: 'nodes/node-2/10.20.2.0/28', problem: 'no-block' }]);
    assert.equal((await world.run(REMOVE)).status, 0);
    assert.deepEqual(held(world, 'node-2'), []);
  });
});

test('presence: absence counts only where the server knows others of ours', () => {
  const node = (name: string): { name: string; ready: boolean } => ({ name, ready: false });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('a')]), {
    kind: 'present',
    as: 'a',
    ready: false,
  });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('b')]), { kind: 'gone' });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('c')]), { kind: 'unproven', others: 1 });
  assert.deepEqual(presenceOf('a', ['a'], [node('c')]), { kind: 'gone' });
  assert.deepEqual(presenceOf('a', ['a'], []), { kind: 'unproven', others: 0 });
});

test('presence: capitals do not count, a domain may, and a living pod proves another name', () => {
  const node = (name: string): { name: string; ready: boolean } => ({ name, ready: true });
  const b = node('b');
  assert.deepEqual(presenceOf('A', ['A', 'b'], [node('a'), b]), { kind: 'present', as: 'a', ready: true });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('a.example.com'), b]), {
    kind: 'similar',
    as: 'a.example.com',
  });
  assert.deepEqual(presenceOf('a.example.com', ['a.example.com'], [node('a')]), { kind: 'similar', as: 'a' });
  const worker = { name: 'worker-7', ready: false };
  assert.deepEqual(presenceOf('a', ['a', 'b'], [b, worker], ['worker-7']), {
    kind: 'present',
    as: 'worker-7',
    ready: false,
  });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [b], ['worker-7']), { kind: 'gone' }, 'that node is gone too');
  assert.deepEqual(presenceOf('a', ['a', 'B'], [b]), { kind: 'gone' }, 'the server knows B');
});
