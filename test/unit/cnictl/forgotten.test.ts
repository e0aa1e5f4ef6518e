import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { parseCidr } from '../../../ipam/model/address.ts';
import { encodeLost, lostKey } from '../../../ipam/records/lost-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';

interface Report {
  readonly counts: Record<string, number>;
  readonly missing: { ip: string; reason: string; pod: { name: string } }[];
  readonly records: { key: string; reason: string; message: string }[];
}
const reportOf = (stdout: string): Report => JSON.parse(stdout) as Report;
const missingOf = (stdout: string): string[] =>
  reportOf(stdout).missing.map(({ ip, reason, pod }) => `${ip} ${pod.name} ${reason}`);

const LOST = encodeLost({ at: 0, subnets: [{ cidr: parseCidr('10.20.0.0/22'), attachments: 4 }] });

/** Returns a world of which etcd forgot everything, while two pods run. */
async function forgotten(): Promise<CliWorld> {
  const world = await CliWorld.make();
  world.pods = [
    world.pod(0, 'web-1', { podIPs: ['10.20.0.16'] }),
    world.pod(4, 'api-1', { nodeName: 'node-2', podIPs: ['10.20.0.64', 'fd00:20::40'] }),
    world.pod(10, 'kube-proxy', { hostNetwork: true, podIPs: ['192.168.0.5'] }),
  ];
  world.ipam.store.entries.clear();
  return world;
}

suite('check of an etcd that forgot', () => {
  test('running pods of no range are missing: status 1, and no word of a range to add', async () => {
    const world = await forgotten();
    const ran = await world.run('check --grace 0 -o json');
    assert.equal(ran.status, 1);
    assert.deepEqual(missingOf(ran.stdout), [
      '10.20.0.16 web-1 no-range',
      '10.20.0.64 api-1 no-range',
      'fd00:20::40 api-1 no-range',
    ]);
    const { counts } = reportOf(ran.stdout);
    assert.deepEqual([counts['missing'], counts['noRange']], [3, 3]);
    const table = await world.run('check --grace 0');
    assert.match(table.stdout, /10\.20\.0\.16 +shop\/web-1 +node-1 +no range has it/);
    assert.match(table.stdout, /Put it back: cnictl restore FILE; do not end these pods/);
    assert.doesNotMatch(table.stdout + table.stderr, /range add/);
  });

  test('an ended, waiting or Terminating pod is none of them, nor one that is gone at the second look', async () => {
    const world = await forgotten();
    world.pods = [
      world.pod(1, 'a', { phase: 'Succeeded', podIPs: ['10.20.0.17'] }),
      world.pod(2, 'b', { phase: 'Pending', podIPs: ['10.20.0.18'] }),
      world.pod(3, 'c', { deletionTimestamp: '2026-01-01T00:10:00Z', podIPs: ['10.20.0.19'] }),
      world.pod(4, 'd', { podIPs: ['10.20.0.20'] }),
    ];
    world.meanwhile = () => {
      world.pods = world.pods.filter(({ name }) => name !== 'd');
      return Promise.resolve();
    };
    assert.equal((await world.run('check --grace 0')).status, 0);
  });

  test('two running pods with one address of no range are a conflict', async () => {
    const world = await forgotten();
    world.pods.push(world.pod(70, 'double', { podIPs: ['10.20.0.16'] }));
    assert.equal(reportOf((await world.run('check --grace 0 -o json')).stdout).counts['conflicts'], 1);
  });

  test("what another network gave is not ours: of the node's own subnet, or of one that is named", async () => {
    const world = await CliWorld.make();
    await world.run('check --grace 0 --release --yes');
    world.nodes = [
      { name: 'node-1', uid: 'n1', ready: true, podCIDRs: ['10.244.1.0/24', 'fd00:244:1::/64'] },
      { name: 'node-2', uid: 'n2', ready: true, podCIDRs: ['10.244.2.7/24'] },
    ];
    const own = world.pods.filter(({ name }) => name !== 'lost');
    const pods = (...given: [ip: string, nodeName: string][]): void => {
      world.pods = [
        ...own,
        ...given.map(([ip, nodeName], n) => world.pod(80 + n, `other-${n}`, { nodeName, podIPs: [ip] })),
      ];
    };
    pods(['10.244.1.9', 'node-1'], ['fd00:244:1::9', 'NODE-1'], ['10.244.2.9', 'node-2']);
    const ran = await world.run('check --grace 0');
    assert.equal(ran.status, 0, ran.stdout);
    pods(['10.244.2.9', 'node-1'], ['172.16.0.1', 'node-1']);
    assert.deepEqual(missingOf((await world.run('check --grace 0 -o json')).stdout), [
      '10.244.2.9 other-0 no-range',
      '172.16.0.1 other-1 no-range',
    ]);
    const others = '--other-subnet 10.244.0.0/16 --other-subnet 172.16.0.0/12 --other-subnet 10.0.0.0/8';
    assert.equal((await world.run(`check --grace 0 ${others}`)).status, 0);
    const bad = await world.run('check --other-subnet 10.244.0.1/16');
    assert.equal(bad.status, 2);
    assert.match(
      bad.stderr,
      /--other-subnet '10\.244\.0\.1\/16' has host bits set: expected 10\.244\.0\.0\/16/,
    );
  });

  test('a range that cannot be read may have the address; so may a block whose range is gone', async () => {
    for (const breakIt of [
      (world: CliWorld): void => {
        world.ipam.store.entries.set('ranges/blue', { key: 'ranges/blue', value: 'x', revision: '9999' });
      },
      (world: CliWorld): void => void world.ipam.store.entries.delete('ranges/blue'),
    ]) {
      const world = await CliWorld.make();
      world.pods = [world.pod(0, 'web-1', { podIPs: ['10.20.0.16'] })];
      breakIt(world);
      const ran = await world.run('check --grace 0 -o json');
      assert.deepEqual([ran.status, missingOf(ran.stdout)], [1, []]);
    }
  });

  test('what nodes lost is told by key, until a range has it again', async () => {
    const world = await forgotten();
    world.pods = [world.pod(0, 'web-1')];
    await world.ipam.store.commit([], [put(lostKey('node-1'), LOST), put(lostKey('node-2'), 'x')]);
    const ran = await world.run('check --grace 0 -o json');
    assert.equal(ran.status, 1);
    assert.deepEqual(
      reportOf(ran.stdout).records.map(({ key, reason }) => `${key} ${reason}`),
      ['lost/node-1 lost', 'lost/node-2 unreadable'],
    );
    assert.match(
      ran.stdout,
      /4 attachments on node-1 have addresses of 10\.20\.0\.0\/22, which is in no range/,
    );
    await world.ipam.store.commit([], [put(lostKey('node-2'), LOST)]);
    assert.equal((await world.run('range add 10.20.0.0/22 --recover')).status, 0);
    assert.equal((await world.run('check --grace 0')).status, 0);
  });
});

suite('advice to an etcd that forgot', () => {
  test('range add is refused where nodes lost addresses, and says the way back', async () => {
    const world = await forgotten();
    world.env = {};
    await world.ipam.store.commit([], [put(lostKey('node-1'), LOST)]);
    for (const command of ['range add 10.20.1.0/24', 'range add 10.20.0.0/16 --dry-run']) {
      const ran = await world.run(command);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], command);
      assert.match(
        ran.stderr,
        /4 attachments on node-1 have addresses of 10\.20\.0\.0\/22, which etcd forgot/,
      );
      assert.match(ran.stderr, /cnictl restore FILE`: the nodes write back .*--recover/);
    }
    assert.equal((await world.run('range add 10.40.0.0/24')).status, 0, 'another subnet');
  });

  test('range add is refused where running pods have its addresses, and not where they cannot get them', async () => {
    const world = await forgotten();
    const ran = await world.run('range add 10.20.0.0/22');
    assert.equal(ran.status, 2);
    assert.match(
      ran.stderr,
      /range 10\.20\.0\.0\/22: 2 running pods have addresses of it, .*: 10\.20\.0\.16 \(shop\/web-1\), 10\.20\.0\.64 \(shop\/api-1\)\n/,
    );
    assert.match(ran.stderr, /cnictl restore FILE, .* cnictl range add … --recover/);
    assert.equal((await world.run('range add 10.20.0.0/22 --dry-run')).status, 2);
    assert.equal(world.ipam.store.entries.size, 0);
    for (const command of [
      'range add 10.20.0.0/22 --dry-run --exclude 10.20.0.16 --exclude 10.20.0.64',
      'range add 10.20.4.0/22',
      'range add 192.168.0.0/24',
      'range add 10.20.0.0/22 --recover',
    ]) {
      const added = await world.run(command);
      assert.equal(added.status, 0, added.stderr);
    }
  });

  test('range add works as ever without an API server, and warns of one that does not answer', async () => {
    const world = await forgotten();
    world.kube = { listPods: () => Promise.reject(new KubeError('unreachable', 'https://api: no answer')) };
    const ran = await world.run('range add 10.20.0.0/22 --name a');
    assert.equal(ran.status, 0);
    assert.match(
      ran.stderr,
      /running pods have addresses of the range was not looked at: https:\/\/api: no answer/,
    );
    world.env = {};
    assert.equal((await world.run('range add 10.30.0.0/22')).status, 0);
  });

  test("range add asks no other cluster's API server", async () => {
    const world = await CliWorld.make();
    await world.run('check --grace 0');
    world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
    const ran = await world.run('range add 10.40.0.0/24');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /UID cluster-2: expected cluster-1/);
    assert.equal((await world.run('range add 10.40.0.0/24 --recover')).status, 0);
  });

  test('doctor, status and range list advise to restore, and to add a range only in a new cluster', async () => {
    const world = await forgotten();
    const doctor = async (): Promise<string> => (await world.run('doctor --cluster')).stdout;
    assert.match(
      await doctor(),
      /fail +ranges +etcd holds none\n.*A new cluster: cnictl range add .*: cnictl restore FILE/,
    );
    assert.match((await world.run('status')).stdout, /No ranges yet: .*cnictl restore FILE/);
    assert.match((await world.run('range list')).stdout, /etcd forgot them: cnictl restore FILE/);
    await world.ipam.store.commit([], [put(lostKey('node-1'), LOST), put(lostKey('node-2'), '{')]);
    const told = await doctor();
    assert.match(told, /etcd forgot a range: 4 attachments on node-1 have addresses of 10\.20\.0\.0\/22/);
    assert.match(told, /etcd key 'lost\/node-2' holds no JSON/);
    assert.doesNotMatch(told, /A new cluster/);
    const status = await world.run('status');
    assert.match(status.stdout, /Forgotten: +4 attachments on node-1 .*\n(.*\n)*.*cnictl restore FILE/);
    assert.match(status.stderr, /etcd key 'lost\/node-2' holds no JSON/);
    const { lost } = JSON.parse((await world.run('status -o json')).stdout) as { lost: unknown };
    assert.deepEqual(lost, [
      { node: 'node-1', at: '1970-01-01T00:00:00.000Z', subnets: [{ cidr: '10.20.0.0/22', attachments: 4 }] },
    ]);
  });

  test('node remove deletes what a node lost, with the node', async () => {
    const world = await forgotten();
    world.nodes = [{ name: 'node-2', uid: 'n2', ready: true }];
    await world.ipam.store.commit([], [put(lostKey('node-1'), LOST)]);
    const ran = await world.run('node remove node-1 --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(world.ipam.store.entries.has(lostKey('node-1')), false);
  });
});
