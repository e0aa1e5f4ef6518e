import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { aliveKey } from '../../../ipam/records/alive-record.ts';
import { lostKey } from '../../../ipam/records/lost-record.ts';
import { machineKey } from '../../../ipam/records/machine-record.ts';
import { drainKey } from '../../../ipam/records/node-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { release } from '../../../ipam/release/release.ts';
import { CliWorld, container } from '../../golden/world.ts';

/** Leaves node-1 without the addresses that its first four containers have. */
const releaseFirstFour = async (world: CliWorld): Promise<void> => {
  for (const n of [0, 1, 2, 3])
    await release(world.ipam.ipam, {
      node: 'node-1',
      attachment: { containerId: container(n), ifname: 'eth0' },
      cause: { why: 'del' },
    });
};

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

  for (const command of ['drain nod-1', 'drain nod-1 --dry-run', 'undrain nod-1', 'show nod-1']) {
    test(`node ${command}: a name that neither etcd nor the cluster knows is refused`, async () => {
      const world = await CliWorld.make();
      const before = world.ipam.store.revision;
      const ran = await world.run(`node ${command}`);
      assert.deepEqual([ran.status, world.ipam.store.revision], [2, before]);
      // `node show` tells what there is, which is nothing.
      assert.match(ran.stdout, command.startsWith('show') ? /State: +unknown\n/ : /^$/);
      assert.match(
        ran.stderr,
        /node 'nod-1' is not known: etcd has nothing of it, and https:\/\/api\.example\.org:6443 has no such node; nodes that hold blocks: node-1, node-2\n.*cnictl node list/,
      );
    });
  }

  test('a node that only the cluster knows, or of which etcd has any record, can be drained', async () => {
    const world = await CliWorld.make();
    world.nodes = [...world.nodes, { name: 'fresh', uid: 'n3', ready: true }];
    assert.equal((await world.run('node drain fresh')).status, 0);
    world.nodes = [];
    for (const key of [machineKey('one'), aliveKey('two'), lostKey('three'), drainKey('four')])
      await world.ipam.store.commit([], [put(key, '{}')]);
    for (const name of ['fresh', 'one', 'two', 'three', 'node-1'])
      assert.equal((await world.run(`node drain ${name}`)).status, 0, name);
    assert.equal((await world.run('node show one')).status, 0);
    assert.doesNotMatch((await world.run('node undrain four')).stderr, /not known/);
  });

  test('a node that holds a block is known although its index is lost', async () => {
    const world = await CliWorld.make();
    for (const key of [...world.ipam.store.entries.keys()])
      if (key.startsWith('nodes/') || key.startsWith('machines/') || key.startsWith('alive/'))
        world.ipam.store.entries.delete(key);
    world.nodes = [];
    assert.match((await world.run('node show node-2')).stdout, /Amiss/);
  });

  test('without an answer of the API server only etcd tells, and --force drains a node that is to come', async () => {
    const world = await CliWorld.make();
    world.kube = {
      clusterUid: () => Promise.reject(new KubeError('unreachable', 'https://api.example.org: no answer')),
    };
    assert.equal((await world.run('node drain node-1')).status, 0);
    const refused = await world.run('node drain node-7');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /the API server could not be asked \(.*no answer.*\).*\n.*--force/);
    world.env = {};
    assert.match((await world.run('node drain node-7')).stderr, /no API server is configured/);
    const forced = await world.run('node drain node-7 --force');
    assert.equal(forced.status, 0);
    assert.match(forced.stderr, /node 'node-7' holds no block; .*cnictl node undrain node-7/);
    assert.equal((await world.run('node undrain node-7')).status, 0);
  });

  test('capitals in the name do not count: etcd has the node once', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('node drain NODE-1');
    assert.match(ran.stdout, /^node node-1 is draining/);
    assert.ok(world.ipam.store.entries.has(drainKey('node-1')));
    assert.equal(world.ipam.store.entries.has(drainKey('NODE-1')), false);
    const shown = JSON.parse((await world.run('node show Node-1 -o json')).stdout) as {
      name: string;
      kubernetes: { known: boolean };
      allocated: number;
    };
    assert.deepEqual([shown.name, shown.kubernetes.known, shown.allocated], ['node-1', true, 4]);
    assert.match((await world.run('node undrain NODE-1')).stdout, /^node node-1 is active/);
  });

  test('node show finds a node by a name with or without domain, and says that it may be another', async () => {
    const world = await CliWorld.make();
    world.nodes = [{ name: 'node-1.example.com', uid: 'n1', ready: true }];
    const { stdout } = await world.run('node show node-1');
    assert.match(stdout, /: Ready, if it is the node that is node-1\.example\.com there\n/);
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
  /**
   * Returns a world where node-1 has two blocks. One of them is empty and has rested for an hour.
   */
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
    await releaseFirstFour(world);
    world.ipam.now += 3600_000;
    assert.deepEqual(cidrs((await world.run('block return --node node-1 --dry-run -o json')).stdout), []);
    const all = cidrs((await world.run('block return --node node-1 --all --dry-run -o json')).stdout);
    assert.equal(all.length, 1);
  });
});

test('range drain returns empty blocks and tells what is left', async () => {
  const world = await CliWorld.make();
  await releaseFirstFour(world);
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
