import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { batchingIpam, directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { node, pod, startKubeApi, type KubeApiServer } from '../../support/kube-api.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { owner } from '../../unit/ipam/world.ts';

const uid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

suite('the life of a node on real etcd', () => {
  let scope: Scope;
  let etcd: Etcd;
  let api: KubeApiServer;
  let kubeconfig: string;
  let ipam: Ipam;

  before(async () => {
    scope = newScope();
    kubeconfig = join(await scope.tempDir(), 'kubeconfig');
    etcd = scope.use(await startEtcd());
    api = await startKubeApi();
    scope.defer(() => api.close());
    api.writeKubeconfig(kubeconfig);
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    ipam = directIpam(store, hostEffects);
    const added = await cnictl('range', 'add', '10.20.0.0/24', '--name', 'blue', '--cooldown', '0');
    assert.equal(added.code, 0, added.stderr);
    for (const name of ['node-1', 'node-2', 'node-3']) api.putNode(node({ name }));
  });
  after(() => scope.close());

  const cnictl = (...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), KUBECONFIG: kubeconfig },
      timeoutMs: 40_000,
    });
  const give = async (on: string, n: number): Promise<void> => {
    const podOf = { podNamespace: 'shop', podName: `p-${n}`, podUid: uid(n) };
    await allocate(ipam, { node: on, owner: owner(`c-${n}`, podOf), families: [4] });
  };
  const keys = (): Promise<string> => etcd.ctl('get', '--prefix', '/cellnet/v1/', '--keys-only');

  test('drained: what is empty goes back, what is used stays, nothing new comes, with an agent too', async () => {
    const { store, effects, observer } = ipam;
    const agent = batchingIpam({ store, effects, observer, cache: new Map(), local: noLocalNode }, 5_000);
    for (let n = 0; n < 17; n++) await give('node-1', n);
    for (let n = 0; n < 17; n++)
      await release(ipam, {
        node: 'node-1',
        attachment: { containerId: `c-${n}`, ifname: 'eth0' },
        cause: { why: 'del' },
      });
    await allocate(agent, { node: 'node-1', owner: owner('warm'), families: [4] });
    const drained = await cnictl('node', 'drain', 'node-1', '-o', 'json');
    assert.equal(drained.code, 0, drained.stderr);
    const { returned, left } = JSON.parse(drained.stdout) as { returned: string[]; left: string[] };
    assert.deepEqual([returned.length, left.length], [1, 1], drained.stdout);
    const another = { node: 'node-1', owner: owner('cold'), families: [4] } as const;
    await assert.rejects(allocate(agent, another), /node 'node-1' is draining/);
    assert.equal((await cnictl('node', 'undrain', 'node-1')).code, 0);
    await allocate(agent, another);
  });

  test('removed: refused while the API server has it, then freed whole; a pod that is still there keeps its address', async () => {
    await give('node-2', 30);
    await give('node-2', 31);
    api.putPod(pod({ namespace: 'shop', name: 'p-31', uid: uid(31), node: 'node-2' }));
    const remove = ['node', 'remove', 'node-2', '--yes', '--grace', '50ms'];
    const refused = await cnictl(...remove);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /node 'node-2' is in the cluster/);
    api.nodes.delete('/node-2');
    const partly = await cnictl(...remove);
    assert.equal(partly.code, 2, partly.stdout);
    assert.match(partly.stdout, /kept: the API server still has pod shop\/p-31/);
    api.deletePod('shop', 'p-31');
    const done = await cnictl(...remove);
    assert.equal(done.code, 0, done.stderr + done.stdout);
    assert.doesNotMatch(await keys(), /nodes\/node-2/);
    const shown = await cnictl('node', 'show', 'node-2');
    assert.match(shown.stdout, /has no such node[\s\S]*Blocks: +0/);
  });

  test('an API server that may not list nodes, or says 404 of something else, frees nothing', async () => {
    await give('node-3', 40);
    api.nodes.delete('/node-3');
    const before = await keys();
    for (const fault of [
      { kind: 'status', status: 403, reason: 'Forbidden' },
      { kind: 'status', status: 404, reason: 'NotFound' },
    ] as const) {
      api.faults.when(({ path }) => (path.startsWith('/api/v1/nodes') ? fault : undefined));
      const ran = await cnictl('node', 'remove', 'node-3', '--yes', '--grace', '0');
      api.faults.clear();
      assert.equal(ran.code, 2, ran.stdout);
    }
    assert.equal(await keys(), before);
  });
});
