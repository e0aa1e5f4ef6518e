import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { end, give, pod } from '../ipam/pods.ts';
import { owner } from '../ipam/world.ts';

interface Report {
  counts: Record<string, number>;
  leaked: { ip: string; reason: string }[];
  missing: { ip: string; reason: string; ageSeconds: number }[];
  conflicts: { ip: string; pods: { name: string }[]; ageSeconds: number }[];
  records: { key: string; reason: string; node: string | null; message: string; ageSeconds: number | null }[];
}

const reportOf = (stdout: string): Report => JSON.parse(stdout) as Report;
const keysOf = (stdout: string): string[] =>
  reportOf(stdout).records.map(({ key, reason }) => `${key} ${reason}`);

/** Returns a world with nothing leaked or missing, and with a block on each of two nodes. */
async function soundWorld(): Promise<CliWorld> {
  const world = await CliWorld.make();
  assert.equal((await world.run('check --grace 0 --release --yes')).status, 1);
  world.pods = world.pods.filter(({ name }) => name !== 'lost');
  const ran = await world.run('check --grace 0');
  assert.equal(ran.status, 0, ran.stdout);
  return world;
}

/** A sound world where db-0 has an address, one is kept for db-1, and pay has own blocks. */
async function keepingWorld(): Promise<CliWorld> {
  const world = await soundWorld();
  const must = async (line: string): Promise<void> => {
    const ran = await world.run(line);
    assert.equal(ran.status, 0, ran.stderr);
  };
  await must('rule add db --namespace shop --pod db-* --keep forever');
  await must('rule add pay --namespace shop --pod pay-* --own-blocks');
  const node = 'node-1';
  for (const name of ['db-0', 'db-1', 'pay-1']) await give(world.ipam, node, pod(name));
  await end(world.ipam, node, pod('db-1'));
  for (const name of ['db-0', 'pay-1']) {
    const ip = [...world.ipam.given()].find(([, who]) => who.includes(`c-${name}`))?.[0] ?? '';
    assert.notEqual(ip, '');
    const living = { namespace: 'shop', name, uid: `uid-c-${name}`, node, podIPs: [ip] };
    world.pods = [...world.pods, { ...(world.pods[0] as (typeof world.pods)[number]), ...living }];
  }
  const ran = await world.run('check --grace 0');
  assert.equal(ran.status, 0, ran.stdout);
  return world;
}

const valuesIn = (world: CliWorld): Map<string, string> =>
  new Map([...world.ipam.store.entries].map(([key, { value }]) => [key, value]));

function lose(world: CliWorld, key: string): string {
  assert.ok(world.ipam.store.entries.delete(key), key);
  return key;
}

function mislead(world: CliWorld, key: string): string {
  change(world, key, (value) => value.replace(/"ip":"[^"]*"/, '"ip":"10.20.0.30"'));
  return key;
}

function copy(world: CliWorld, from: string, key: string): string {
  const entry = world.ipam.store.entries.get(from);
  assert.ok(entry, from);
  world.ipam.store.entries.set(key, { ...entry, key, revision: String(++world.ipam.store.revision) });
  return key;
}

const keys = (world: CliWorld, prefix: string): string[] =>
  [...world.ipam.store.entries.keys()].filter((key) => key.startsWith(prefix)).sort();

function change(world: CliWorld, key: string, value: (before: string) => string): void {
  const entry = world.ipam.store.entries.get(key);
  assert.ok(entry, key);
  const revision = String(++world.ipam.store.revision);
  world.ipam.store.entries.set(key, { key, value: value(entry.value), revision });
}

function rename(world: CliWorld, from: string, to: string): void {
  const entry = world.ipam.store.entries.get(from);
  assert.ok(entry, from);
  world.ipam.store.entries.delete(from);
  world.ipam.store.entries.set(to, { ...entry, key: to });
}

suite('check of the records', () => {
  test('an unreadable record is named by its key, and does not end the check', async () => {
    for (const [prefix, value] of [
      ['blocks/blue/10.20.0.16', '{"v":99}'],
      ['blocks/blue/10.20.0.64', 'x'],
      ['nodes/node-1/10.20.0.16', '{}'],
      ['ranges/green', '[]'],
    ] as const) {
      const world = await soundWorld();
      const [key = ''] = keys(world, prefix);
      change(world, key, () => value);
      const ran = await world.run('check --grace 0 -o json');
      assert.equal(ran.status, 1, ran.stderr);
      assert.deepEqual(keysOf(ran.stdout).slice(0, 1), [`${key} unreadable`]);
      assert.match(reportOf(ran.stdout).records[0]?.message ?? '', new RegExp(`etcd key '${key}'`));
      assert.deepEqual(reportOf(ran.stdout).leaked, []);
    }
  });

  test('a pod whose address lies in an unreadable block is not missing: missing data means in use', async () => {
    const world = await soundWorld();
    change(world, 'blocks/blue/10.20.0.16/28', () => 'x');
    world.pods = world.pods.map((pod) => (pod.name === 'web-1' ? { ...pod, podIPs: ['10.20.0.16'] } : pod));
    const { missing, leaked } = reportOf((await world.run('check --grace 0 -o json')).stdout);
    assert.deepEqual([missing, leaked], [[], []]);
  });

  test('nothing of a block that is not sound, or whose range is gone, is leaked or released', async () => {
    const world = await CliWorld.make();
    change(world, 'blocks/blue/10.20.0.16/28', (value) =>
      value.replace('"sequence":4,"slots"', '"sequence":2,"slots"'),
    );
    const ran = await world.run('check --grace 0 --release --yes -o json');
    assert.deepEqual(keysOf(ran.stdout), ['blocks/blue/10.20.0.16/28 unsound']);
    assert.match(ran.stdout, /has sequence 3/);
    assert.equal(reportOf(ran.stdout).counts['leaked'], 0);
    assert.equal(world.ipam.given().size, 7);

    const other = await CliWorld.make();
    other.ipam.store.entries.delete('ranges/blue');
    const without = await other.run('check --grace 0 --release --yes -o json');
    assert.deepEqual(reportOf(without.stdout).leaked, []);
    assert.match(keysOf(without.stdout).join(), /blocks\/blue\/10\.20\.0\.16\/28 no-range/);
    assert.equal(other.ipam.given().size, 7);
  });

  test('a block outside its range or off its boundary is told', async () => {
    const world = await soundWorld();
    const off = 'blocks/blue/10.20.0.24/28';
    rename(world, 'blocks/blue/10.20.0.16/28', off);
    change(world, off, (value) => value.replace('"10.20.0.16/28"', '"10.99.0.16/28"'));
    rename(world, off, 'blocks/blue/10.99.0.16/28');
    const ran = await world.run('check --grace 0 -o json');
    assert.match(keysOf(ran.stdout).join(), /blocks\/blue\/10\.99\.0\.16\/28 unsound/);
    assert.match(ran.stdout, /lies outside range 10\.20\.0\.0\/22/);
  });

  const disagreements: [reason: string, key: string, breakIt: (world: CliWorld) => void][] = [
    [
      'no-index',
      'blocks/blue/10.20.0.16/28',
      (world) => void world.ipam.store.entries.delete('nodes/node-1/10.20.0.16/28'),
    ],
    [
      'no-block',
      'nodes/node-9/10.20.3.0/28',
      (world) => {
        const entry = world.ipam.store.entries.get('nodes/node-1/10.20.0.16/28');
        assert.ok(entry);
        const key = 'nodes/node-9/10.20.3.0/28';
        world.ipam.store.entries.set(key, { ...entry, key });
      },
    ],
    [
      'wrong-node',
      'nodes/node-2/10.20.0.16/28',
      (world) => {
        const entry = world.ipam.store.entries.get('nodes/node-1/10.20.0.16/28');
        assert.ok(entry);
        const key = 'nodes/node-2/10.20.0.16/28';
        world.ipam.store.entries.set(key, { ...entry, key });
      },
    ],
  ];
  for (const [reason, key, breakIt] of disagreements) {
    test(`${reason}: told with its age, and repaired by --repair alone`, async () => {
      const world = await soundWorld();
      const sound = [...world.ipam.store.entries.keys()].sort();
      breakIt(world);
      const { revision } = world.ipam.store;
      const ran = await world.run('check --grace 0 --release --yes -o json');
      assert.equal(ran.status, 1);
      assert.deepEqual(keysOf(ran.stdout), [`${key} ${reason}`]);
      assert.ok((reportOf(ran.stdout).records[0]?.ageSeconds ?? -1) >= 0);
      assert.equal(world.ipam.store.revision, revision, '--release repairs nothing');
      assert.equal((await world.run('check --grace 0 --repair')).status, 2, 'asks');
      const repaired = await world.run('check --grace 0 --repair --yes');
      assert.equal(repaired.status, 0, repaired.stderr);
      assert.match(repaired.stderr, new RegExp(`nodes/.* (written|deleted) \\(${reason}\\)`));
      assert.deepEqual([...world.ipam.store.entries.keys()].sort(), sound);
      assert.deepEqual(world.ipam.problems(), []);
    });
  }

  /** Keys by which pods find what is theirs. */
  const [used, kept] = ['kept/pod/shop/db-0/eth0/4', 'kept/pod/shop/db-1/eth0/4'] as const;
  const own = (world: CliWorld): string => keys(world, 'own/pay/4/')[0] ?? '';
  const lookups: [name: string, reason: string, breakIt: (world: CliWorld) => string][] = [
    ['of a kept address in use is lost', 'no-key', (world) => lose(world, used)],
    ['of a kept address is lost', 'no-key', (world) => lose(world, kept)],
    ['of a kept address leads to another one', 'no-key', (world) => mislead(world, kept)],
    ['of an own block is lost', 'no-key', (world) => lose(world, own(world))],
    [
      'of a kept address is of nobody',
      'stale-key',
      (world) => copy(world, kept, 'kept/pod/shop/db-9/eth0/4'),
    ],
    [
      'of an own block is of no block',
      'stale-key',
      (world) => copy(world, own(world), 'own/pay/4/10.20.2.0/28'),
    ],
  ];
  for (const [name, reason, breakIt] of lookups) {
    test(`a key ${name}: told, and repaired by --repair alone`, async () => {
      const world = await keepingWorld();
      const sound = valuesIn(world);
      const key = breakIt(world);
      assert.notDeepEqual(world.ipam.problems(), []);
      const told = await world.run('check --grace 0 --release --yes -o json');
      assert.equal(told.status, 1, told.stderr);
      const [found, ...more] = reportOf(told.stdout).records;
      assert.deepEqual([found?.reason, more], [reason, []]);
      assert.ok(`${found?.key} ${found?.message}`.includes(key), told.stdout);
      const repaired = await world.run('check --grace 0 --repair --yes');
      assert.equal(repaired.status, 0, repaired.stdout + repaired.stderr);
      assert.match(repaired.stderr, new RegExp(`${key} (written|deleted) \\(${reason}\\)`));
      assert.deepEqual(valuesIn(world), sound);
    });
  }

  test('a key of a kept address that cannot be read is told by its key, until it is mended', async () => {
    const world = await keepingWorld();
    const [key = ''] = keys(world, 'kept/pod/shop/db-1/');
    change(world, key, () => '{"v":99}');
    const ran = await world.run('check --grace 0 --repair --yes -o json');
    assert.deepEqual(keysOf(ran.stdout), [`${key} unreadable`]);
  });

  test('an index key that names another range is repaired too', async () => {
    const world = await soundWorld();
    change(world, 'nodes/node-1/10.20.0.16/28', (value) => value.replace('blue', 'green'));
    const ran = await world.run('check --grace 0 --repair --yes -o json');
    assert.deepEqual(keysOf(ran.stdout).sort(), [
      'blocks/blue/10.20.0.16/28 no-index',
      'nodes/node-1/10.20.0.16/28 no-block',
    ]);
    assert.equal((await world.run('check --grace 0')).status, 0);
    assert.deepEqual(world.ipam.problems(), []);
  });

  test('a block that was claimed between the two reads is no disagreement', async () => {
    const world = await soundWorld();
    let scans = 0;
    world.ipam.store.before = async (request) => {
      if (request !== 'scan' || ++scans !== 3) return;
      world.ipam.store.before = () => Promise.resolve();
      await allocate(world.ipam.ipam, { node: 'node-2', owner: owner('x'), families: [4], ranges: ['blue'] });
      for (let n = 0; n < 20; n++)
        await allocate(world.ipam.ipam, { node: 'node-2', owner: owner(`y${n}`), families: [4] });
    };
    const ran = await world.run('check --grace 0');
    assert.match(ran.stderr, /1 record amiss: looking again/);
    assert.equal(ran.status, 0, ran.stdout);
  });

  test('a repair that loses the race against its node looks anew, and overwrites nothing', async () => {
    const world = await soundWorld();
    const key = 'nodes/node-1/10.20.0.16/28';
    const entry = world.ipam.store.entries.get(key);
    assert.ok(entry);
    world.ipam.store.entries.delete(key);
    world.ipam.store.before = (request) => {
      if (request === 'commit') {
        world.ipam.store.before = () => Promise.resolve();
        world.ipam.store.entries.set(key, { ...entry, revision: String(++world.ipam.store.revision) });
      }
      return Promise.resolve();
    };
    const ran = await world.run('check --grace 0 --repair --yes');
    assert.doesNotMatch(ran.stderr, /written/);
    assert.deepEqual(world.ipam.problems(), []);
  });
});

test('an etcd without any range is told: it may be the wrong one, or the wrong prefix', async () => {
  const world = await CliWorld.make();
  world.ipam.store.entries.clear();
  world.pods = world.pods.filter(({ name }) => name !== 'lost');
  const ran = await world.run('check --grace 0');
  assert.equal(ran.status, 0);
  assert.match(ran.stderr, /etcd holds no range below this prefix, .*is --etcd-prefix right\?/);
});

suite('check of nodes', () => {
  const onlyNode2 = { listNodes: () => Promise.resolve([{ name: 'node-2', uid: 'n2', ready: true }]) };

  test('a leak of a node that is gone says so, and its blocks are told', async () => {
    const world = await CliWorld.make();
    world.kube = onlyNode2;
    const ran = await world.run('check --grace 0 -o json');
    const { leaked } = reportOf(ran.stdout);
    assert.deepEqual(
      leaked.map(({ ip, reason }) => `${ip} ${reason}`),
      ['10.20.0.17 pod-finished', '10.20.0.18 pod-replaced', '10.20.0.19 node-gone'],
    );
    assert.deepEqual(keysOf(ran.stdout), ['blocks/blue/10.20.0.16/28 node-gone']);
    assert.match((await world.run('check --grace 0')).stdout, /Free what .*: cnictl node remove node-1\n/);
  });

  test('a living pod keeps its address though its node is gone', async () => {
    const world = await CliWorld.make();
    world.kube = onlyNode2;
    await world.run('check --grace 0 --release --yes');
    assert.equal(world.ipam.given().get('10.20.0.16'), container(0));
  });

  test('a node that is made again between the looks is not told', async () => {
    const world = await CliWorld.make();
    let asked = 0;
    const both = [
      { name: 'node-1', uid: 'again', ready: true },
      { name: 'node-2', uid: 'n2', ready: true },
    ];
    world.kube = { listNodes: () => (++asked === 1 ? onlyNode2.listNodes() : Promise.resolve(both)) };
    const ran = await world.run('check --grace 0 -o json');
    assert.deepEqual(keysOf(ran.stdout), []);
    assert.doesNotMatch(ran.stdout, /node-gone/);
  });

  test('a block of it that goes back between the looks is not told', async () => {
    const world = await CliWorld.make();
    const key = 'blocks/blue/10.20.0.16/28';
    world.kube = onlyNode2;
    world.meanwhile = () => {
      world.ipam.store.entries.delete(key);
      return Promise.resolve();
    };
    const ran = await world.run('check --grace 1s -o json');
    assert.deepEqual(world.pauses, [1000]);
    assert.deepEqual(keysOf(ran.stdout), []);
  });

  test('a node whose name differs by capitals or the domain is not gone', async () => {
    for (const name of ['node-1.example.com', 'node-1.cell']) {
      const world = await CliWorld.make();
      world.nodes = [
        { name, uid: 'n1', ready: true },
        { name: 'node-2', uid: 'n2', ready: true },
      ];
      world.pods = world.pods.map((pod) => ({
        ...pod,
        nodeName: pod.nodeName === 'node-2' ? 'node-2' : name,
      }));
      const { stdout } = await world.run('check --grace 0 --release --yes -o json');
      assert.deepEqual(
        [keysOf(stdout), reportOf(stdout).leaked.map(({ reason }) => reason)],
        [[], ['pod-finished', 'pod-replaced', 'pod-gone']],
      );
      assert.equal(world.ipam.given().size, 4);
    }
  });

  test('a machine with two names is told with both; nothing of it is released, no node is to be removed', async () => {
    const world = await CliWorld.make();
    world.nodes = [
      { name: 'worker-7', uid: 'n1', ready: true },
      { name: 'node-2', uid: 'n2', ready: true },
    ];
    world.pods = world.pods.map((pod) =>
      pod.nodeName === 'node-1' ? { ...pod, nodeName: 'worker-7' } : pod,
    );
    const ran = await world.run('check --grace 0 --release --yes --save report.json -o json');
    assert.equal(ran.status, 1);
    assert.deepEqual(keysOf(ran.stdout), ['nodes/node-1/ two-names']);
    assert.match(
      reportOf(ran.stdout).records[0]?.message ?? '',
      /its machine is node 'worker-7', where pod shop\/web-1 runs/,
    );
    assert.doesNotMatch(ran.stdout, /node-gone/);
    assert.match(ran.stderr, /3 leaked addresses stay on node-1: each has another name in the cluster/);
    assert.equal(world.ipam.given().size, 7);
    const table = await world.run('check --grace 0');
    assert.match(table.stdout, /One machine, two names: cnictl doctor on it/);
    assert.doesNotMatch(table.stdout, /node remove/);
    const saved = await world.run('release --from-report report.json --yes');
    assert.equal(saved.status, 2);
    assert.match(saved.stdout, /10\.20\.0\.19 kept: node node-1 has another name in the cluster/);
    assert.equal(world.ipam.given().size, 7);
    assert.equal((await world.run('release --from-report report.json --yes --force')).status, 0);
    assert.equal(world.ipam.given().size, 4);
  });

  test('nodes that bear other names in Kubernetes, or may not be listed, say nothing', async () => {
    const world = await CliWorld.make();
    world.kube = { listNodes: () => Promise.resolve([{ name: 'ip-10-0-0-7', uid: 'n', ready: true }]) };
    const ran = await world.run('check --grace 0 -o json');
    assert.match(ran.stderr, /or do they have other names there\? Nothing is said of nodes/);
    assert.doesNotMatch(ran.stdout, /node-gone/);
  });
});

suite('check of addresses that pods have', () => {
  test('one address of two running pods is a conflict, until one of them lets go', async () => {
    const world = await soundWorld();
    const twice = (name: string, n: number): ReturnType<CliWorld['pod']> =>
      world.pod(n, name, { podIPs: ['10.20.0.16'] });
    world.pods = [
      ...world.pods.filter(({ name }) => name !== 'web-1'),
      twice('web-1', 0),
      twice('thief', 70),
    ];
    const ran = await world.run('check --grace 0 -o json');
    assert.equal(ran.status, 1);
    const { conflicts, missing, counts } = reportOf(ran.stdout);
    assert.deepEqual(
      conflicts.map(({ ip, pods }) => [ip, pods.map(({ name }) => name)]),
      [['10.20.0.16', ['web-1', 'thief']]],
    );
    assert.deepEqual(
      missing.map(({ ip, reason }) => [ip, reason]),
      [['10.20.0.16', 'held-by-another']],
    );
    assert.deepEqual([counts['conflicts'], counts['missing'], conflicts[0]?.ageSeconds], [1, 1, 10_810]);
    assert.match(
      (await world.run('check --grace 0')).stdout,
      /Conflicts: .*\n.*\n10\.20\.0\.16 {2}shop\/web-1, shop\/thief/,
    );
    world.meanwhile = () => {
      world.pods = world.pods.filter(({ name }) => name !== 'thief');
      return Promise.resolve();
    };
    assert.equal((await world.run('check --grace 0')).status, 0);
  });
});
