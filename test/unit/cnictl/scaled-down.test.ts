import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { StatefulSet } from '../../../cni/kube/api.ts';
import { KubeError } from '../../../cni/kube/errors.ts';
import { formatAddress } from '../../../ipam/model/address.ts';
import { slotAddress, type KeptSlot } from '../../../ipam/model/block.ts';
import { keptSlots } from '../../../ipam/model/kept-slot.ts';
import { release } from '../../../ipam/release/release.ts';
import { addRule } from '../../../ipam/rules/rules.ts';
import { CliWorld, container } from '../../golden/world.ts';
import { rule } from '../../support/rule.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

interface Told {
  counts: Record<string, number>;
  kept: Record<string, unknown>[];
  keptProblem: string | null;
}

const set = (name: string, replicas: number, more: Partial<StatefulSet> = {}): StatefulSet => ({
  ...{ namespace: 'shop', name, uid: `uid-${name}`, replicas, start: 0, isEnding: false },
  ...more,
});

/** A cluster in which nothing is leaked, and pg-0 to pg-2 are gone: their addresses are kept. */
async function prepared(replicas: number): Promise<CliWorld> {
  const world = await CliWorld.make();
  const { ipam } = world.ipam;
  for (const n of [1, 2, 3])
    await release(ipam, {
      node: 'node-1',
      attachment: { containerId: container(n), ifname: 'eth0' },
      cause: { why: 'del' },
    });
  world.pods = world.pods.filter((pod) => pod.name !== 'lost');
  await addRule(ipam, rule('db', { pod: 'pg-*', ranges: [], keep: {} }));
  for (const n of [0, 1, 2]) {
    await world.give('node-1', 50 + n, `pg-${n}`, [`10.20.0.${24 + n}`]);
    await release(ipam, {
      node: 'node-1',
      attachment: { containerId: container(50 + n), ifname: 'eth0' },
      cause: { why: 'del' },
    });
  }
  world.statefulSets = [set('pg', replicas)];
  return world;
}

const keptIn = (world: CliWorld): Map<string, KeptSlot> =>
  new Map(
    world.ipam
      .blocks()
      .flatMap((block) =>
        keptSlots(block).map(
          ({ index, slot }) => [formatAddress(slotAddress(block, index)), slot] as [string, KeptSlot],
        ),
      ),
  );
const kept = (world: CliWorld): string => [...keptIn(world).keys()].join(' ');
const marks = (world: CliWorld): string =>
  [...keptIn(world)].flatMap(([ip, { scaledDownAt }]) => (scaledDownAt === undefined ? [] : [ip])).join(' ');
const ALL = '10.20.0.24 10.20.0.25 10.20.0.26';
const RELEASE = 'check --grace 1s --release --yes -o json';
const told = async (world: CliWorld, argv: string): Promise<Told> =>
  JSON.parse((await world.run(argv)).stdout) as Told;

suite('check of addresses that are kept for pods of StatefulSets', () => {
  test('scaled down: counted from the first check on, ended when the time is over, and logged', async () => {
    const world = await prepared(2);
    const first = await told(world, RELEASE);
    assert.deepEqual(world.pauses, [], 'nothing is due yet');
    assert.deepEqual([first.counts['scaledDown'], first.counts['orphaned']], [1, 0]);
    assert.deepEqual(first.kept[0], {
      ...{ ip: '10.20.0.26', range: 'blue', node: 'node-1' },
      pod: { namespace: 'shop', name: 'pg-2' },
      ...{ ifname: 'eth0', rule: 'db', sequence: first.kept[0]?.['sequence'], reason: 'scaled-down' },
      statefulSet: { name: 'pg', replicas: 2, start: 0 },
      keptAt: '2026-01-01T03:00:10.000Z',
      ...{ scaledDownAt: null, due: false, dueAt: null, ageSeconds: 0 },
    });
    assert.equal(marks(world), '10.20.0.26');
    const shown = await world.run('ip show 10.20.0.26');
    assert.match(
      shown.stdout,
      /Scaled down: +since 2026-01-01T03:00:10\.000Z \(0s\) at the latest: its Stateful/,
    );
    assert.match(
      (await world.run('ip show 10.20.0.26 -o json')).stdout,
      /"scaledDownAt": "2026-01-01T03:00:10/,
    );
    assert.doesNotMatch((await world.run('ip show 10.20.0.25')).stdout, /Scaled down/);
    assert.deepEqual(world.ipam.problems(), []);
    world.ipam.now += DAY - 1;
    const second = await world.run('check');
    assert.equal(second.status, 0);
    assert.match(second.stdout, /10\.20\.0\.26 +scaled-down +shop\/pg-2 +pg has 0 to 1 +db +23h59m +in 0s\n/);
    assert.match(second.stdout, /nothing leaked, nothing missing, 1 kept for pods that no StatefulSet makes/);
    await world.run(RELEASE);
    assert.equal(kept(world), ALL);
    world.ipam.now += 1;
    const due = await world.run('check --grace 1s');
    assert.equal(due.status, 1);
    assert.deepEqual(world.pauses, [1_000], 'looked at twice');
    assert.match(due.stdout, / now\n(.*\n)*Free them: cnictl check --release/);
    assert.equal(kept(world), ALL);
    const last = await world.run('check --grace 1s --release --yes --log log.jsonl');
    assert.equal(last.status, 0, last.stderr);
    assert.match(last.stderr, /10\.20\.0\.26 released \(scaled-down\)/);
    assert.equal(kept(world), '10.20.0.24 10.20.0.25');
    const line = JSON.parse(world.files.get('log.jsonl') ?? '') as Record<string, unknown>;
    assert.deepEqual(
      [line['ip'], line['outcome'], line['reason'], line['rule'], line['pod'], line['range']],
      ['10.20.0.26', 'released', 'scaled-down', 'db', { namespace: 'shop', name: 'pg-2', uid: null }, 'blue'],
    );
    assert.deepEqual(world.ipam.problems(), []);
    assert.equal((await told(world, 'check -o json')).kept.length, 0);
  });

  test('scaled up again before the time: the mark goes, and the next time is counted from its start', async () => {
    const world = await prepared(2);
    await world.run(RELEASE);
    world.ipam.now += 23 * HOUR;
    world.statefulSets = [set('pg', 3)];
    await world.run(RELEASE);
    assert.equal(marks(world), '');
    world.statefulSets = [set('pg', 2)];
    await world.run(RELEASE);
    world.ipam.now += 2 * HOUR;
    await world.run(RELEASE);
    assert.equal(kept(world), ALL);
  });

  test('at rest for long, and then started with fewer replicas at first: nothing is ended', async () => {
    const world = await prepared(0);
    for (let day = 0; day < 7; day++) {
      assert.equal((await told(world, RELEASE)).kept.length, 0);
      world.ipam.now += DAY;
    }
    world.statefulSets = [set('pg', 1)];
    await world.run(RELEASE);
    assert.equal(kept(world), ALL);
    world.statefulSets = [set('pg', 3)];
    await world.run(RELEASE);
    assert.equal(marks(world), '');
  });

  test('--scaled-down-after 0: after two looks, unless the set is scaled up between them', async () => {
    const world = await prepared(1);
    const argv = `${RELEASE} --scaled-down-after 0`;
    world.meanwhile = () => {
      world.statefulSets = [set('pg', 2)];
      return Promise.resolve();
    };
    await world.run(argv);
    assert.equal(kept(world), '10.20.0.24 10.20.0.25');
    assert.equal(marks(world), '');
  });

  test('a pod of the name, in whatever phase, and one that comes at the last look, keeps it', async () => {
    const world = await prepared(1);
    world.pods.push(world.pod(61, 'pg-1', { phase: 'Failed' }));
    let asked = 0;
    world.kube = {
      getPod: (_, name) => Promise.resolve(name === 'pg-2' && ++asked > 1 ? world.pod(62, name) : undefined),
    };
    const ran = await world.run(`${RELEASE} --scaled-down-after 0`);
    assert.match(ran.stderr, /10\.20\.0\.26 stays kept: pod shop\/pg-2 may come again/);
    assert.equal(kept(world), ALL);
  });

  test('a keeping that is a later one than the looks saw is not ended', async () => {
    const world = await prepared(2);
    world.meanwhile = async () => {
      await world.give('node-1', 70, 'pg-2', ['10.20.0.26']);
      const attachment = { containerId: container(70), ifname: 'eth0' };
      await release(world.ipam.ipam, { node: 'node-1', attachment, cause: { why: 'del' } });
    };
    const report = await told(world, `${RELEASE} --scaled-down-after 0`);
    assert.equal(report.kept.length, 0);
    assert.equal(kept(world), ALL);
  });

  test('the set is gone: told after the time, released only by --orphaned', async () => {
    const world = await prepared(3);
    world.statefulSets = [];
    assert.equal((await told(world, RELEASE)).kept.length, 0, 'it may be made again at any moment');
    world.ipam.now += DAY;
    const ran = await world.run('check --release --yes');
    assert.equal(ran.status, 0, 'it may be meant so');
    assert.match(ran.stdout, /10\.20\.0\.24 +orphaned +shop\/pg-0 +no pg +db +1d +-\n/);
    assert.match(ran.stdout, /cnictl check --release --orphaned/);
    assert.deepEqual([kept(world), marks(world)], [ALL, '']);
    const last = await world.run('check --grace 1s --release --orphaned --yes');
    assert.match(last.stderr, /10\.20\.0\.24 released \(orphaned\)/);
    assert.deepEqual([last.status, kept(world)], [0, '']);
    assert.match((await world.run('check --orphaned')).stderr, /expected --release with it/);
  });

  for (const what of ['--release', '--release --orphaned --scaled-down-after 0'])
    test(`forbidden to list StatefulSets: told once, nothing is ended or counted (${what})`, async () => {
      const world = await prepared(1);
      world.kube = { listStatefulSets: () => Promise.reject(new KubeError('forbidden', '403')) };
      const { revision } = world.ipam.store;
      const ran = await world.run(`check ${what} --yes -o json`);
      assert.equal(ran.status, 0);
      assert.equal(ran.stderr.split('forbids to list statefulsets').length - 1, 1);
      const { keptProblem, kept: none } = JSON.parse(ran.stdout) as Told;
      assert.match(keptProblem ?? '', /forbids to list statefulsets/);
      assert.deepEqual(none, []);
      assert.equal(world.ipam.store.revision, revision + 1n, 'the cluster was written down, nothing else');
      let rounds = 0;
      world.meanwhile = () => {
        if (++rounds === 3) world.stop.abort();
        return Promise.resolve();
      };
      const watched = await world.run(`check --watch 1m ${what} --yes`);
      assert.equal(watched.stderr.split('forbids to list statefulsets').length - 1, 1);
      assert.equal(kept(world), ALL);
    });

  test('an API server that does not answer, or has no pod: nothing is ended', async () => {
    const world = await prepared(1);
    const argv = `${RELEASE} --scaled-down-after 0`;
    world.kube = { listStatefulSets: () => Promise.reject(new KubeError('unreachable', 'away')) };
    assert.equal((await world.run(argv)).status, 2);
    world.kube = {};
    const { pods } = world;
    world.pods = [];
    await world.run(argv);
    await world.run(`${argv} --even-if-no-pods`);
    world.pods = pods;
    let asked = 0;
    // All pods are gone at the last look.
    world.kube = { anyPod: () => Promise.resolve({ any: ++asked === 1, resourceVersion: '7' }) };
    const last = await world.run(argv);
    assert.equal(asked, 2);
    assert.match(last.stderr, /has no pod at all/);
    assert.equal(last.status, 1);
    assert.equal(kept(world), ALL);
  });

  test('StatefulSets are not asked for where nothing is kept by name', async () => {
    const world = await CliWorld.make();
    world.kube = { listStatefulSets: () => Promise.reject(new Error('asked')) };
    assert.equal((await world.run('check --grace 0')).status, 1);
  });
});
