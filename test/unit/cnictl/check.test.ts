import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { range } from '../ipam/world.ts';

interface Report {
  counts: Record<string, number>;
  leaked: { ip: string; reason: string; sequence: number }[];
  missing: { ip: string }[];
}
const leaks = (stdout: string): string[] =>
  (JSON.parse(stdout) as Report).leaked.map(({ ip, reason }) => `${ip} ${reason}`);
const LEAKED = ['10.20.0.17 pod-finished', '10.20.0.18 pod-replaced', '10.20.0.19 pod-gone'];

suite('check', () => {
  test('finds just the leaks, after the grace, and changes nothing', async () => {
    const world = await CliWorld.make();
    await world.run('check --grace 0');
    world.pauses.length = 0;
    const { revision } = world.ipam.store;
    const ran = await world.run('check --grace 90s -o json');
    assert.deepEqual(leaks(ran.stdout), LEAKED);
    assert.equal(ran.status, 1);
    assert.deepEqual(world.pauses, [90_000]);
    assert.equal(world.ipam.store.revision, revision);
    assert.deepEqual((JSON.parse(ran.stdout) as Report).counts, {
      allocated: 7,
      pods: 6,
      leaked: 3,
      unknown: 1,
      missing: 1,
      noRange: 0,
      conflicts: 0,
      records: 0,
      scaledDown: 0,
      orphaned: 0,
    });
  });

  test('looks only once where nothing is suspected, and ends with 0', async () => {
    const world = await CliWorld.make();
    for (const n of [1, 2, 3])
      await release(world.ipam.ipam, {
        node: 'node-1',
        attachment: { containerId: container(n), ifname: 'eth0' },
        cause: { why: 'del' },
      });
    world.pods = world.pods.filter((pod) => pod.name !== 'lost');
    const ran = await world.run('check');
    assert.equal(ran.status, 0);
    assert.deepEqual(world.pauses, []);
    assert.match(ran.stdout, /nothing leaked, nothing missing/);
  });

  test('what was only passing is not reported: a pod that came, an address that changed hands', async () => {
    const world = await CliWorld.make();
    world.meanwhile = async () => {
      world.pods.push(world.pod(3, 'job-1'));
      await release(world.ipam.ipam, {
        node: 'node-1',
        attachment: { containerId: container(2), ifname: 'eth0' },
        cause: { why: 'del' },
      });
    };
    const ran = await world.run('check --grace 0 -o json');
    assert.deepEqual(leaks(ran.stdout), ['10.20.0.17 pod-finished']);
  });

  test('--release frees what is leaked and nothing else', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('check --grace 0 --release --yes -o json');
    assert.deepEqual(
      [...world.ipam.given().keys()].filter((ip) => ip.startsWith('10.20.0.1')),
      ['10.20.0.16'],
    );
    assert.equal(ran.status, 1, 'one is missing still');
    world.pods = world.pods.filter((pod) => pod.name !== 'lost');
    assert.equal((await world.run('check')).status, 0);
  });

  test('--release looks once more at each: a pod that appears at the last moment keeps its address', async () => {
    const world = await CliWorld.make();
    let asked = 0;
    world.kube = {
      // The second look makes the first request for the pod. The last look asks again.
      getPod: (_, name) =>
        Promise.resolve(name === 'job-1' && ++asked > 1 ? world.pod(3, 'job-1') : world.podNamed(name)),
    };
    const ran = await world.run('check --grace 0 --release --yes');
    assert.match(ran.stderr, /10\.20\.0\.19 kept: pod shop\/job-1 lives/);
    assert.equal(world.ipam.given().get('10.20.0.19'), container(3));
    assert.equal(world.ipam.given().has('10.20.0.17'), false);
  });

  for (const [what, listPods] of [
    [
      'unreachable',
      (): Promise<never> => Promise.reject(new KubeError('unreachable', 'https://api: no connection')),
    ],
    [
      'forbidden',
      (): Promise<never> => Promise.reject(new KubeError('forbidden', 'https://api: list pods: 403')),
    ],
    [
      'lying',
      (): Promise<never> => Promise.reject(new KubeError('malformed', 'https://api: the list ended early')),
    ],
  ] as const) {
    test(`an API server that is ${what}: status 2, a remedy, and nothing is released`, async () => {
      const world = await CliWorld.make();
      const { revision } = world.ipam.store;
      world.kube = { listPods };
      const ran = await world.run('check --grace 0 --release --yes');
      assert.equal(ran.status, 2);
      assert.equal(ran.stdout, '');
      assert.match(ran.stderr, /^cnictl: https:\/\/api: .*\n {2}\S/);
      assert.equal(world.ipam.store.revision, revision);
    });
  }

  test('a second observation that fails releases nothing', async () => {
    const world = await CliWorld.make();
    world.kube = { getPod: () => Promise.reject(new KubeError('timeout', 'too long')) };
    assert.equal((await world.run('check --grace 0 --release --yes')).status, 2);
    assert.equal(world.ipam.given().size, 7);
  });

  const NO_PODS = /has no pod at all, while etcd has 7 allocations: is it the right cluster\?/;

  test('an API server without any pod makes it ask whether it is the right one', async () => {
    const world = await CliWorld.make();
    world.pods = [];
    const ran = await world.run('check --grace 0');
    assert.match(ran.stderr, NO_PODS);
    assert.equal(ran.status, 1);
  });

  test('--release with an API server without any pod is refused, before any wait', async () => {
    const world = await CliWorld.make();
    world.pods = [];
    const ran = await world.run('check --release --yes --save report.json');
    assert.deepEqual([ran.status, ran.stdout], [2, '']);
    assert.match(ran.stderr, NO_PODS);
    assert.match(ran.stderr, /Nothing was released\n.*--even-if-no-pods/);
    assert.deepEqual(world.pauses, []);
    assert.equal(world.ipam.given().size, 7);
  });

  test('--release is refused also where all pods are gone at the second look', async () => {
    const world = await CliWorld.make();
    world.meanwhile = () => {
      world.pods = [];
      return Promise.resolve();
    };
    const ran = await world.run('check --grace 0 --release --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, NO_PODS);
    assert.equal(world.ipam.given().size, 7);
  });

  test('--even-if-no-pods releases what names a pod, and tells the doubt', async () => {
    const world = await CliWorld.make();
    world.silence('node-2');
    world.pods = [];
    const ran = await world.run('check --grace 0 --release --yes --even-if-no-pods');
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, NO_PODS);
    assert.deepEqual([...world.ipam.given().values()], [container(5)]);
  });

  test('--release where no allocation names a pod has nothing to refuse', async () => {
    const world = new CliWorld();
    await addRange(world.ipam.ipam, range('10.20.0.0/22'));
    await world.give('node-1', 5, undefined);
    const ran = await world.run('check --grace 0 --release --yes');
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(world.ipam.given().size, 1);
  });

  test('a report that cannot be saved is refused before anything is looked at', async () => {
    const world = await CliWorld.make();
    world.unwritable.add('/dev/null');
    world.kube = { listPods: () => Promise.reject(new Error('asked too early')) };
    const ran = await world.run('check --save /dev/null');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /'\/dev\/null' cannot be written/);
  });

  test('a grace of more than a day is refused', async () => {
    const world = await CliWorld.make();
    const ran = await world.run('check --grace 30d --release --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /--grace '30d': expected at most 24h/);
    assert.deepEqual(world.pauses, []);
  });
});
