/**
 * Runs `cnictl check` and `cnictl release` against the API servers of two clusters, on real etcd.
 * The other cluster has nodes and pods of the same names.
 */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { KUBERNETES_KEY } from '../../../ipam/records/cluster-record.ts';
import { del } from '../../../ipam/records/transaction.ts';
import { namespace, node, startKubeApi, type KubeApiOptions } from '../../support/kube-api.ts';
import { uid, useRaces, type Race } from './race.ts';

const OURS = '6d1f4f6e-0000-4000-8000-000000000001';
const THEIRS = '6d1f4f6e-0000-4000-8000-000000000002';

suite('two clusters', () => {
  const races = useRaces();

  /** Starts a cluster whose first check is done, with one pod that is gone. */
  const start = async (t: TestContext): Promise<Race> => {
    const race = await races.start(t);
    await race.store.commit([], [del(KUBERNETES_KEY)]);
    race.api.namespaces.put(namespace('kube-system', OURS));
    await race.give('node-1', 'gone', 1);
    assert.equal((await race.check('--save report.json')).status, 1);
    return race;
  };

  /** Lets the kubeconfig lead to another cluster. */
  const leadElsewhere = async (t: TestContext, race: Race, options: KubeApiOptions = {}): Promise<void> => {
    const other = await startKubeApi(options);
    t.after(() => other.close());
    other.namespaces.put(namespace('kube-system', THEIRS));
    for (const name of ['node-1', 'node-2']) other.putNode(node({ name }));
    other.putPod({ namespace: 'shop', name: 'web-0', uid: uid(900), node: 'node-1', ip: '10.99.0.1' });
    const kube = races.connect(t, other);
    race.onKube(() => kube);
  };

  test('the first check writes the UID of kube-system', async (t) => {
    const race = await start(t);
    const [entry] = await race.store.get([KUBERNETES_KEY]);
    const { uid: written, v } = JSON.parse(entry?.value ?? '{}') as { uid: string; v: number };
    assert.deepEqual([v, written], [1, OURS]);
  });

  test("with the other's kubeconfig nothing is released, by check, by address or by report", async (t) => {
    const race = await start(t);
    const before = await race.given();
    await leadElsewhere(t, race);
    const [ip = ''] = Object.keys(before);
    for (const command of [
      'check --grace 0 --release --yes',
      `release ${ip} --yes`,
      'release --from-report report.json --yes',
      'node remove node-2 --yes --force',
    ]) {
      const ran = await race.world.run(command);
      assert.deepEqual([ran.status, ran.stdout], [2, ''], command);
      assert.match(ran.stderr, new RegExp(THEIRS), command);
    }
    const told = await race.world.run('check --grace 0');
    assert.equal(told.status, 2);
    assert.match(told.stderr, new RegExp(`UID ${THEIRS}: expected ${OURS}.*means nothing`));
    assert.deepEqual(await race.given(), before);
  });

  test('a control plane that was built again is trusted by its UID, and nothing else is', async (t) => {
    const race = await start(t);
    race.api.namespaces.put(namespace('kube-system', THEIRS));
    assert.equal((await race.check()).status, 2);
    assert.equal((await race.check(`--release --yes --trust-cluster ${OURS}`)).status, 2);
    const ran = await race.check(`--release --yes --trust-cluster ${THEIRS}`);
    assert.equal(ran.status, 0, ran.stderr);
    assert.deepEqual(Object.values(await race.given()), ['c-web-0']);
    assert.equal((await race.check()).status, 0);
  });

  test('where the namespace may not be read, nodes and pods decide', async (t) => {
    const race = await start(t);
    const before = await race.given();
    const forbid: KubeApiOptions['forbid'] = (_user, _verb, resource) => resource === 'namespaces';
    await leadElsewhere(t, race, { forbid });
    const ran = await race.check();
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /does not let this user get the namespace kube-system/);
    assert.match(ran.stderr, /has pods, but none of those that 2 allocations name/);
    assert.deepEqual(await race.given(), before);
  });
});

suite('phases, as kubelets write them', () => {
  const races = useRaces();

  test('Failed while a container still runs: the address is in use, until the container has ended', async (t) => {
    const race = await races.start(t);
    const ip = await race.give('node-1', 'web-1', 1);
    race.live('web-1', 1, 'node-1', ip);
    race.api.finishPod('shop', 'web-1', 'Failed', 'running');
    const ran = await race.check();
    assert.equal(ran.status, 0, ran.stdout);
    assert.equal((await race.given())[ip], 'c-web-1');
    race.api.finishPod('shop', 'web-1', 'Failed');
    assert.equal((await race.check()).status, 0);
    assert.equal((await race.given())[ip], undefined);
  });

  test('a Terminating pod still lists its address after its DEL: neither missing nor a conflict', async (t) => {
    const race = await races.start(t);
    const ip = await race.give('node-1', 'web-2', 2);
    race.live('web-2', 2, 'node-1', ip);
    const deletionTimestamp = '2026-01-31T12:30:00Z';
    race.api.putPod({ namespace: 'shop', name: 'web-1', uid: uid(1), node: 'node-1', ip, deletionTimestamp });
    const ran = await race.world.run('check --grace 0');
    assert.equal(ran.status, 0, ran.stdout);
    assert.match(ran.stdout, /nothing leaked, nothing missing/);
  });
});
