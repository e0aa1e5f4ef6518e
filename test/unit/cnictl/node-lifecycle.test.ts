import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { presenceOf } from '../../../cnictl/node/removal.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { setNodeDraining } from '../../../ipam/node/drain.ts';
import { drainKey } from '../../../ipam/records/node-record.ts';
import { release } from '../../../ipam/release/release.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { owner } from '../ipam/world.ts';

const REMOVE = 'node remove node-2 --yes --grace 60s';
/** The world without node-2 in the cluster, nor its pods. */
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
    // A grace between the two looks; by its end the addresses freed after it have rested only when that is waited for.
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
    // The API server is asked just before the block goes; the node comes back right after the answer.
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
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('a')]), { kind: 'present', ready: false });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('b')]), { kind: 'gone' });
  assert.deepEqual(presenceOf('a', ['a', 'b'], [node('c')]), { kind: 'unproven', others: 1 });
  assert.deepEqual(presenceOf('a', ['a'], [node('c')]), { kind: 'gone' });
  assert.deepEqual(presenceOf('a', ['a'], []), { kind: 'unproven', others: 0 });
});

suite('node drain', () => {
  test('returns empty blocks, names what stays; a pod gets no address until undrain', async () => {
    const world = await CliWorld.make();
    const before = world.ipam.store.revision;
    const dry = await world.run('node drain node-1 --dry-run');
    assert.deepEqual([dry.status, world.ipam.store.revision], [0, before]);
    const ran = JSON.parse((await world.run('node drain node-1 -o json')).stdout) as {
      returned: string[];
      addresses: { pod: { name: string } }[];
    };
    assert.deepEqual(ran.addresses.map(({ pod }) => pod.name).sort(), ['db-0', 'job-1', 'web-1', 'web-2']);
    await assert.rejects(world.give('node-1', 50, 'new'), /node 'node-1' is draining/);
    assert.ok(world.ipam.store.entries.has(drainKey('node-1')));
    assert.equal((await world.run('node undrain node-1')).status, 0);
    await world.give('node-1', 50, 'new');
    assert.match((await world.run('node undrain node-1')).stdout, /was not draining/);
  });

  test('a name that no block is of is doubted, and said which are', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('node drain nod-1');
    assert.equal(ran.status, 0);
    assert.match(
      ran.stderr,
      /node 'nod-1' holds no block; nodes that do: node-1, .*cnictl node undrain nod-1/,
    );
    assert.match((await world.run('node remove nod-2 --dry-run')).stdout, /nodes that do: node-1, /);
    assert.doesNotMatch((await world.run('node remove nod-2 --dry-run')).stdout, /do: .*nod-1/);
    assert.match(
      (await world.run('block return --node nod-1')).stdout,
      /'nod-1' holds no block; nodes that do/,
    );
  });

  test('list, show and status go on with a draining node', async () => {
    const world = await CliWorld.make();
    await world.run('node drain node-2');
    for (const command of [
      'node list',
      'node show node-2',
      'status',
      'check --grace 0',
      'block list',
      'range list',
    ])
      assert.notEqual((await world.run(command)).status, 2, command);
    assert.match((await world.run('node show node-2')).stdout, /State: +draining/);
  });
});

suite('block return', () => {
  /** node-1 has two blocks, one of them empty and at rest for an hour. */
  const hoarding = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    for (let n = 100; n < 120; n++) await world.give('node-1', n, undefined);
    for (let n = 100; n < 120; n++)
      await release(world.ipam.ipam, {
        node: 'node-1',
        attachment: { containerId: container(n), ifname: 'eth0' },
        cause: { why: 'del' },
      });
    world.ipam.now += 3600_000;
    return world;
  };
  const cidrs = (stdout: string): string[] =>
    (JSON.parse(stdout) as { cidr: string }[]).map(({ cidr }) => cidr);

  test('takes what nodes can do without, and only that', async () => {
    const world = await hoarding();
    const before = world.ipam.given();
    const dry = await world.run('block return --dry-run -o json');
    assert.equal(cidrs(dry.stdout).length, 1);
    const ran = await world.run('block return --yes -o json');
    assert.deepEqual(cidrs(ran.stdout), cidrs(dry.stdout));
    assert.deepEqual(world.ipam.given(), before);
    assert.deepEqual(world.ipam.problems(), []);
    assert.match((await world.run('block return --yes')).stdout, /No block has been idle for 5m/);
  });

  test('by node, by range, by time', async () => {
    const world = await hoarding();
    for (const none of ['--node node-2', '--range six', '--idle 2h'])
      assert.deepEqual(cidrs((await world.run(`block return ${none} --dry-run -o json`)).stdout), [], none);
    assert.equal((await world.run('block return --range red')).status, 2);
    assert.equal((await world.run('block return')).status, 2, 'nobody can be asked');
    assert.equal(
      cidrs((await world.run('block return --node node-1 --range blue --yes -o json')).stdout).length,
      1,
    );
  });

  test('keeps one idle block, but with --all', async () => {
    const world = await CliWorld.make();
    for (const n of [0, 1, 2, 3])
      await release(world.ipam.ipam, {
        node: 'node-1',
        attachment: { containerId: container(n), ifname: 'eth0' },
        cause: { why: 'del' },
      });
    world.ipam.now += 3600_000;
    assert.deepEqual(cidrs((await world.run('block return --node node-1 --dry-run -o json')).stdout), []);
    const all = cidrs((await world.run('block return --node node-1 --all --dry-run -o json')).stdout);
    assert.equal(all.length, 1);
  });
});

test('range drain returns empty blocks and tells what is left', async () => {
  const world = await CliWorld.make();
  for (const n of [0, 1, 2, 3])
    await release(world.ipam.ipam, {
      node: 'node-1',
      attachment: { containerId: container(n), ifname: 'eth0' },
      cause: { why: 'del' },
    });
  const resting = await world.run('range drain blue');
  assert.match(
    resting.stdout,
    /0 empty blocks returned\nleft: 2 blocks with 2 addresses given out and 5 cooling, on 2 nodes\n1 block with/,
  );
  world.ipam.now += 30_001;
  const before = world.ipam.store.revision;
  assert.match((await world.run('range drain blue --dry-run')).stdout, /1 empty block would be returned/);
  assert.equal(world.ipam.store.revision, before);
  assert.match((await world.run('range drain blue')).stdout, /1 empty block returned/);
  assert.deepEqual(world.ipam.problems(), []);
});
