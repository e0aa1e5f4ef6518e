import { directIpam } from '../../../ipam/node/ipam.ts';
/**
 * Runs `cnictl check --watch` as a Deployment does, while etcd and the API server go away under it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatAddress } from '../../../ipam/model/address.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { showAddress } from '../../../ipam/query/views.ts';
import { parseAddress } from '../../../ipam/model/address.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd } from '../../support/etcd.ts';
import { node, startKubeApi } from '../../support/kube-api.ts';
import { newScope } from '../../support/netns.ts';
import { startDaemon, until } from '../../support/proc.ts';
import { owner, range } from '../../unit/ipam/world.ts';
import { hostEffects } from '../../../cni/host/effects.ts';

test('check --watch releases what leaks, outlives etcd and the API server, and ends cleanly at SIGTERM', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const etcd = scope.use(await startEtcd());
  const api = await startKubeApi();
  scope.defer(() => api.close());
  const kubeconfig = join(dir, 'kubeconfig');
  api.writeKubeconfig(kubeconfig);
  api.putNode(node({ name: 'node-1', ready: false }));
  const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
  scope.defer(() => store.close());
  const ipam = directIpam(store, hostEffects);
  await addRange(ipam, range('10.20.0.0/22', { name: 'blue' }));
  const give = async (name: string): Promise<string> => {
    const pod = { podNamespace: 'shop', podName: name, podUid: `uid-${name}` };
    const given = await allocate(ipam, { node: 'node-1', owner: owner(`c-${name}`, pod), families: [4] });
    return given.map(({ address }) => formatAddress(address)).join();
  };
  const isUsed = async (ip: string): Promise<boolean> =>
    (await showAddress(ipam, parseAddress(ip))).state === 'used';
  const lives = await give('web-1');
  api.putPod({ namespace: 'shop', name: 'web-1', uid: 'uid-web-1', node: 'node-1', ip: lives });
  const first = await give('gone-1');

  const log = join(dir, 'releases.jsonl');
  const options = ['--watch', '1s', '--grace', '100ms', '--release', '--yes', '--log', log];
  const daemon = await startDaemon(
    join(OUR_PLUGINS, 'cnictl'),
    ['check', ...options, '--metrics-listen', '127.0.0.1:0', '--kubeconfig', kubeconfig],
    (it) => it.output().includes('metrics at http://'),
    { env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir } },
  );
  scope.defer(() => daemon.stop());
  const [, url = ''] = /metrics at (http:\S+)\/metrics/.exec(daemon.output()) ?? [];
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    assert.ok(line, `${name} in ${text}`);
    return Number(line.split(' ')[1]);
  };
  const grows = async (name: string): Promise<void> => {
    const before = await metric(name);
    await until(`${name} grows`, async () => (await metric(name)) > before || undefined, 30_000);
  };

  await until('the leak is released', async () => !(await isUsed(first)) || undefined, 30_000);
  await until(
    'it is counted',
    async () => (await metric('cellnet_check_released_total{reason="pod-gone"}')) === 1 || undefined,
  );
  await grows('cellnet_check_last_success_timestamp_seconds');
  assert.equal((await fetch(`${url}/healthz`)).status, 200);

  api.faults.when(() => ({ kind: 'reset' }));
  const second = await give('gone-2');
  await grows('cellnet_check_errors_total{source="kubernetes"}');
  assert.equal((await fetch(`${url}/healthz`)).status, 503);
  assert.ok(await isUsed(second), 'nothing is released on what was not seen');
  api.faults.clear();
  await until('the second leak is released', async () => !(await isUsed(second)) || undefined, 30_000);

  etcd.pause();
  await grows('cellnet_check_errors_total{source="etcd"}');
  etcd.resume();
  await grows('cellnet_check_last_success_timestamp_seconds');
  assert.ok(await isUsed(lives));

  daemon.signal('SIGTERM');
  assert.equal(await daemon.ended, 0, daemon.output());
  const released = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { ip: string; outcome: string });
  assert.deepEqual(
    released.map(({ ip, outcome }) => `${ip} ${outcome}`),
    [`${first} released`, `${second} released`],
  );
});
