import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../cni/kube/errors.ts';
import { prove, type Evidence } from '../../../cnictl/check/proof.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { decodeCluster, encodeCluster, KUBERNETES_KEY } from '../../../ipam/records/cluster-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';
import { range } from '../ipam/world.ts';

const OURS = 'cluster-1';
const recorded = (world: CliWorld): string | undefined => {
  const value = world.ipam.store.entries.get(KUBERNETES_KEY)?.value;
  return value === undefined ? undefined : decodeCluster(KUBERNETES_KEY, value).uid;
};

/** Returns a world whose first check has written down its cluster. */
async function known(): Promise<CliWorld> {
  const world = await CliWorld.make();
  await world.run('check --grace 0 --save ours.json');
  assert.equal(recorded(world), OURS);
  return world;
}

/** Lets the kubeconfig lead to another cluster, with nodes of the same names and its own pods. */
function leadElsewhere(world: CliWorld): void {
  world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
  world.pods = [world.pod(70, 'web-1'), world.pod(71, 'web-9')];
}

const BOTH =
  /kube-system has UID cluster-2: expected cluster-1, .*since 2026-.*\n.*--trust-cluster cluster-2\n/;

suite('the cluster that etcd belongs to', () => {
  test('is written down by the first check, and by no other command', async () => {
    const world = await CliWorld.make();
    for (const command of [
      'status',
      'doctor --conf-dir /none',
      'release 10.20.0.19 --dry-run',
      'pod show shop/web-1',
    ])
      await world.run(command);
    assert.equal(recorded(world), undefined);
    await world.run('check --grace 0');
    assert.equal(recorded(world), OURS);
    const { revision } = world.ipam.store;
    await world.run('check --grace 0');
    assert.equal(world.ipam.store.revision, revision);
  });

  test('is not written down by a user that may only read etcd, who gets the report all the same', async () => {
    const world = await CliWorld.make();
    world.ipam.store.before = (request) =>
      request === 'commit' ? Promise.reject(new IpamError('store-denied', 'no')) : Promise.resolve();
    const ran = await world.run('check --grace 0');
    assert.equal(ran.status, 1, ran.stderr);
    assert.match(ran.stdout, /3 leaked/);
  });

  test('is not written down before an allocation names one of its pods', async () => {
    const world = new CliWorld();
    world.nodes = [];
    await world.run('check');
    assert.equal(recorded(world), undefined, 'etcd may have forgotten');
    await addRange(world.ipam.ipam, range('10.20.0.0/22'));
    await world.run('check');
    assert.equal(recorded(world), undefined, 'the API server may be any');
  });

  test("another cluster's API server releases nothing, and both UIDs are told", async () => {
    const world = await known();
    leadElsewhere(world);
    world.kube = { ...world.kube, listPods: () => Promise.reject(new Error('it read the pods')) };
    const ran = await world.run('check --release --yes --save /report');
    assert.deepEqual([ran.status, ran.stdout], [2, '']);
    assert.match(ran.stderr, BOTH);
    assert.deepEqual([world.ipam.given().size, world.files.has('/report')], [7, false]);
  });

  test('without a release it reports what means nothing, with status 2; such a report frees nothing', async () => {
    const world = await known();
    leadElsewhere(world);
    const ran = await world.run('check --grace 0 --save theirs.json -o json');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /UID cluster-2: expected cluster-1, .*; what follows means nothing/);
    const { clusterProblem, cluster, counts } = JSON.parse(ran.stdout) as {
      clusterProblem: string;
      cluster: string;
      counts: { leaked: number };
    };
    assert.match(clusterProblem, /UID cluster-2: expected cluster-1/);
    assert.deepEqual([cluster, counts.leaked], ['cluster-2', 6]);
    for (const kube of [world.kube, {}]) {
      world.kube = kube;
      for (const more of ['', ' --force']) {
        const freed = await world.run(`release --from-report theirs.json --yes${more}`);
        assert.deepEqual([freed.status, freed.stdout], [2, '']);
        assert.match(freed.stderr, /the report may be of another cluster/);
      }
    }
    const text = (world.files.get('theirs.json') ?? '').replace(
      /"clusterProblem": ".*"/,
      '"clusterProblem": null',
    );
    world.files.set('edited.json', text);
    assert.match(
      (await world.run('release --from-report edited.json --yes')).stderr,
      /UID cluster-2\): expected that with UID cluster-1/,
    );
    assert.equal(world.ipam.given().size, 7);
  });

  test("release and node remove refuse another cluster's API server; --force of release asks none", async () => {
    const world = await known();
    leadElsewhere(world);
    world.nodes = [{ name: 'node-1', uid: 'n', ready: true }];
    for (const command of [
      'release 10.20.0.16 --yes',
      'release 10.20.0.16 --dry-run',
      'release --from-report ours.json --yes',
      'node remove node-2 --yes',
      'node remove node-2 --yes --force',
    ]) {
      const ran = await world.run(command);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], command);
      assert.match(ran.stderr, /UID cluster-2/, command);
    }
    assert.equal(world.ipam.given().size, 7);
    assert.equal((await world.run('release 10.20.0.16 --yes --force')).status, 0);
  });

  test('status, doctor, pod show and node show tell that they were led elsewhere', async () => {
    const world = await known();
    assert.match(
      (await world.run('doctor --conf-dir /none')).stdout,
      /ok +cluster +it is the one whose pods/,
    );
    leadElsewhere(world);
    const status = await world.run('status -o json');
    assert.equal(status.status, 2);
    for (const { stdout, stderr } of [
      status,
      await world.run('doctor --conf-dir /none'),
      await world.run('pod show shop/web-2'),
      await world.run('node show node-1'),
    ])
      assert.match(`${stdout}${stderr}`, /kube-system has UID cluster-2: expected cluster-1/);
    assert.doesNotMatch((await world.run('pod show shop/web-2')).stdout, /Mismatch/);
  });

  test('--trust-cluster replaces it, only with the UID that the API server tells', async () => {
    const world = await known();
    world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
    const wrong = await world.run('check --grace 0 --trust-cluster cluster-3');
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /--trust-cluster 'cluster-3': expected 'cluster-2', as https:/);
    assert.equal(recorded(world), OURS);
    const ran = await world.run('check --grace 0 --release --yes --trust-cluster cluster-2');
    assert.equal(ran.status, 1, ran.stderr);
    assert.match(ran.stderr, /UID cluster-2 from now on and no longer to cluster-1/);
    assert.deepEqual([recorded(world), world.ipam.given().size], ['cluster-2', 4]);
    const { revision } = world.ipam.store;
    await world.run('check --grace 0 --trust-cluster cluster-2');
    assert.equal(world.ipam.store.revision, revision, 'nothing is left to replace');
  });

  test('--trust-cluster loses against another that was first', async () => {
    const world = await known();
    world.kube = { clusterUid: () => Promise.resolve('cluster-2') };
    world.ipam.store.before = async (request) => {
      if (request !== 'commit') return;
      world.ipam.store.before = () => Promise.resolve();
      await world.ipam.store.commit([], [put(KUBERNETES_KEY, encodeCluster({ uid: 'cluster-9', since: 0 }))]);
    };
    const ran = await world.run('check --grace 0 --trust-cluster cluster-2');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /another client wrote meanwhile .*nothing was changed/);
    assert.equal(recorded(world), 'cluster-9');
  });

  test('two first checks of different clusters: the second is told of the first', async () => {
    const world = await CliWorld.make();
    world.ipam.store.before = async (request) => {
      if (request !== 'commit') return;
      world.ipam.store.before = () => Promise.resolve();
      await world.ipam.store.commit([], [put(KUBERNETES_KEY, encodeCluster({ uid: 'cluster-9', since: 0 }))]);
    };
    const ran = await world.run('check --grace 0 --release --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /UID cluster-1: expected cluster-9/);
    assert.equal(world.ipam.given().size, 7);
  });

  test('a record that cannot be read is told and kept, and nothing is released', async () => {
    const world = await known();
    await world.ipam.store.commit([], [put(KUBERNETES_KEY, '{"v":2}')]);
    for (const command of ['check --grace 0 --release --yes', 'release 10.20.0.19 --yes']) {
      const ran = await world.run(command);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], command);
      assert.match(ran.stderr, /etcd key 'cluster\/kubernetes' was written by a newer cellnet/);
    }
    const ran = await world.run('check --grace 0');
    assert.equal(ran.status, 2);
    assert.match(ran.stdout, /3 leaked/);
    assert.equal(world.ipam.store.entries.get(KUBERNETES_KEY)?.value, '{"v":2}');
    assert.equal((await world.run(`check --grace 0 --release --yes --trust-cluster ${OURS}`)).status, 1);
    assert.deepEqual([recorded(world), world.ipam.given().size], [OURS, 4]);
  });

  test('--watch counts a round against another cluster as failed, and shows none of its findings', async () => {
    const world = await known();
    leadElsewhere(world);
    world.meanwhile = () => {
      world.stop.abort();
      return Promise.resolve();
    };
    const ran = await world.run('check --watch 1m --grace 0');
    assert.deepEqual([ran.status, ran.stdout], [0, '']);
    assert.match(ran.stderr, BOTH);
    assert.deepEqual(world.pauses.slice(-1), [5_000], 'it looks again soon');
  });
});

suite('an API server that is not proven to be ours', () => {
  const forbidden = (): Promise<never> => Promise.reject(new KubeError('forbidden', '403'));

  test('that knows none of our nodes releases nothing, though the UID is ours', async () => {
    const world = await known();
    world.nodes = [{ name: 'ip-10-0-0-7', uid: 'n', ready: true }];
    for (const command of ['check --grace 0 --release --yes', 'release 10.20.0.19 --yes']) {
      const ran = await world.run(command);
      assert.equal(ran.status, 2, command);
      assert.match(
        ran.stderr,
        /none of the nodes that hold blocks is a node of https:.* Nothing was released\n/,
      );
    }
    assert.equal(world.ipam.given().size, 7);
    assert.equal((await world.run('check --grace 0')).status, 1, 'its pods are ours');
  });

  test('that knows neither nodes nor pods of ours: its findings mean nothing, and it is not written down', async () => {
    const world = await CliWorld.make();
    leadElsewhere(world);
    world.nodes = [{ name: 'ip-10-0-0-7', uid: 'n', ready: true }];
    const ran = await world.run('check --grace 0');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /what follows means nothing/);
    assert.equal(recorded(world), undefined);
  });

  test('that knows nodes of the same names and no pod of ours is not believed at the first check', async () => {
    const world = await CliWorld.make();
    leadElsewhere(world);
    const ran = await world.run('check --grace 0 --release --yes');
    assert.equal(ran.status, 2);
    assert.match(
      ran.stderr,
      /has pods, but none of those that 6 allocations name: .*\n.*--trust-cluster cluster-2/,
    );
    assert.deepEqual([world.ipam.given().size, recorded(world)], [7, undefined]);
    world.silence('node-2');
    assert.equal((await world.run('check --grace 0 --release --yes --trust-cluster cluster-2')).status, 0);
  });

  test('whose namespace may not be read is judged by its nodes, which is told', async () => {
    const world = await CliWorld.make();
    world.kube = { clusterUid: forbidden };
    const ran = await world.run('check --grace 0 --release --yes');
    assert.equal(ran.status, 1);
    assert.match(ran.stderr, /does not let this user get the namespace kube-system.*only its nodes and pods/);
    assert.deepEqual([world.ipam.given().size, recorded(world)], [4, undefined]);
    world.nodes = [{ name: 'ip-10-0-0-7', uid: 'n', ready: true }];
    assert.equal((await world.run('check --grace 0 --release --yes')).status, 2);
    const trusting = await world.run(`check --grace 0 --trust-cluster ${OURS}`);
    assert.match(trusting.stderr, /--trust-cluster 'cluster-1': expected an API server that tells its UID/);
  });

  test('that tells neither its nodes nor its UID releases nothing by hand', async () => {
    const world = await CliWorld.make();
    world.kube = { clusterUid: forbidden, listNodes: forbidden };
    const ran = await world.run('release 10.20.0.19 --yes');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /nothing tells whether https:.* is the right cluster: it forbids to list nodes/);
    const checked = await world.run('check --grace 0 --release --yes');
    assert.equal(checked.status, 1, 'its pods have the UIDs that etcd holds');
    assert.equal(world.ipam.given().size, 4);
  });
});

suite('proof of the cluster', () => {
  const server = { server: 'https://api' };
  const some: Evidence = {
    identity: { kind: 'unrecorded', uid: 'u' },
    standing: 'known',
    named: 5,
    pods: 9,
    knowsPods: true,
  };
  const cases: readonly (readonly [what: string, change: Partial<Evidence>, verdict: string])[] = [
    ['nodes and pods known', {}, 'remember'],
    ['already written down', { identity: { kind: 'ours', uid: 'u' }, knowsPods: false }, 'believe'],
    [
      'another cluster',
      { identity: { kind: 'other', uid: 'u', record: { uid: 'o', since: 0 } } },
      'meaningless',
    ],
    ['no UID told', { identity: { kind: 'untold' } }, 'believe'],
    ['no UID told, no pod known', { identity: { kind: 'untold' }, knowsPods: false }, 'doubt'],
    ['no pod known', { knowsPods: false }, 'doubt'],
    ['no pod at all: asked elsewhere', { knowsPods: false, pods: 0 }, 'believe'],
    ['only allocations without a pod', { named: 0, knowsPods: false }, 'believe'],
    ['no node known', { standing: 'none-known' }, 'doubt'],
    ['no node and no pod known', { standing: 'none-known', knowsPods: false }, 'meaningless'],
    ['nodes may not be listed', { standing: 'unlisted' }, 'believe'],
    ['nothing allocated', { standing: 'no-blocks', named: 0, knowsPods: false }, 'believe'],
  ];
  for (const [what, change, verdict] of cases) {
    test(`${what}: ${verdict}`, () => {
      const { doubt, isMeaningless, remember } = prove({ ...some, ...change }, server);
      const said = isMeaningless
        ? 'meaningless'
        : doubt
          ? 'doubt'
          : remember === 'u'
            ? 'remember'
            : 'believe';
      assert.equal(said, verdict);
      assert.equal(doubt !== undefined, ['meaningless', 'doubt'].includes(verdict));
    });
  }
});
