/**
 * Runs `cnictl check --watch` while a StatefulSet whose pods keep their addresses is scaled down,
 * up again and deleted, and while nobody may look at StatefulSets.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import type { KeptSlot } from '../../../ipam/model/block.ts';
import { directIpam } from '../../../ipam/node/ipam.ts';
import { showAddress } from '../../../ipam/query/views.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { release } from '../../../ipam/release/release.ts';
import { addRule } from '../../../ipam/rules/rules.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd } from '../../support/etcd.ts';
import { node, startKubeApi } from '../../support/kube-api.ts';
import { newScope } from '../../support/netns.ts';
import { run, startDaemon, until } from '../../support/proc.ts';
import { rule } from '../../support/rule.ts';
import { owner, range } from '../../unit/ipam/world.ts';

const AFTER_MS = 4_000;

test('a StatefulSet is scaled down, up again and deleted, under check --watch', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const etcd = scope.use(await startEtcd());
  let mayListSets = true;
  const api = await startKubeApi({
    forbid: (_, __, resource) => resource === 'statefulsets' && !mayListSets,
  });
  scope.defer(() => api.close());
  const kubeconfig = join(dir, 'kubeconfig');
  api.writeKubeconfig(kubeconfig);
  api.putNode(node({ name: 'node-1' }));
  const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
  scope.defer(() => store.close());
  const ipam = directIpam(store, hostEffects);
  await addRange(ipam, range('10.20.0.0/24', { name: 'blue' }));
  await addRule(ipam, rule('db', { pod: 'pg-*', ranges: [], keep: {} }));
  const start = async (name: string): Promise<string> => {
    const pod = { podNamespace: 'shop', podName: name, podUid: `uid-${name}` };
    const given = await allocate(ipam, { node: 'node-1', owner: owner(`c-${name}`, pod), families: [4] });
    const ip = given.map(({ address }) => formatAddress(address)).join();
    api.putPod({ namespace: 'shop', name, uid: pod.podUid, node: 'node-1', ip });
    return ip;
  };
  const stop = async (name: string): Promise<void> => {
    const attachment = { containerId: `c-${name}`, ifname: 'eth0' };
    await release(ipam, { node: 'node-1', attachment, cause: { why: 'del' } });
    api.deletePod('shop', name);
  };
  const scale = (replicas: number): unknown =>
    api.putStatefulSet({ namespace: 'shop', name: 'pg', replicas });
  const slotOf = async (ip: string): Promise<KeptSlot | undefined> => {
    const { slot } = await showAddress(ipam, parseAddress(ip));
    return slot?.state === 'kept' ? slot : undefined;
  };
  const isMarked = async (ip: string): Promise<boolean> => (await slotOf(ip))?.scaledDownAt !== undefined;
  await start('web-1');
  const ips = [await start('pg-0'), await start('pg-1'), await start('pg-2')];
  const [, ip1 = '', ip2 = ''] = ips;
  scale(3);

  const log = join(dir, 'releases.jsonl');
  const env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir };
  const options = ['--grace', '100ms', '--release', '--yes', '--scaled-down-after', `${AFTER_MS}ms`];
  const daemon = await startDaemon(
    join(OUR_PLUGINS, 'cnictl'),
    [
      ...['check', '--watch', '1s', ...options, '--log', log],
      ...['--metrics-listen', '127.0.0.1:0', '--kubeconfig', kubeconfig],
    ],
    (it) => it.output().includes('metrics at http://'),
    { env },
  );
  scope.defer(() => daemon.stop());
  const [, url = ''] = /metrics at (http:\S+)\/metrics/.exec(daemon.output()) ?? [];
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    assert.ok(line, `${name} in ${text}`);
    return Number(line.split(' ')[1]);
  };
  const rounds = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const name = 'cellnet_check_last_success_timestamp_seconds';
      const before = await metric(name);
      await until('a round', async () => (await metric(name)) > before || undefined, 30_000);
    }
  };
  const waits = (what: string, is: () => Promise<boolean>): Promise<unknown> =>
    until(what, async () => (await is()) || undefined, 30_000);

  // Scaled down, and up again before the time. The pod comes late.
  scale(2);
  await stop('pg-2');
  await waits('the mark', () => isMarked(ip2));
  assert.equal(await metric('cellnet_check_kept_unmade{reason="scaled-down"}'), 1);
  scale(3);
  await waits('the mark to go', async () => !(await isMarked(ip2)));
  const backAt = Date.now();
  await waits('the time to pass', () => Promise.resolve(Date.now() - backAt > AFTER_MS));
  await rounds(2);
  assert.ok(await slotOf(ip2), 'scaled up in time: it is still kept');
  assert.equal(await start('pg-2'), ip2);
  await stop('pg-2');

  // Nobody may look at StatefulSets.
  mayListSets = false;
  scale(1);
  await stop('pg-1');
  await rounds(6);
  assert.ok(await slotOf(ip1));
  assert.ok(!(await isMarked(ip1)));
  assert.equal(daemon.output().split('forbids to list statefulsets').length - 1, 1, daemon.output());

  // Scaled down for good.
  scale(2);
  mayListSets = true;
  await waits('the mark', () => isMarked(ip2));
  const markedAt = (await slotOf(ip2))?.scaledDownAt ?? 0;
  await waits('the end', async () => !(await slotOf(ip2)));
  assert.ok(Date.now() - markedAt >= AFTER_MS, `${Date.now() - markedAt} ms after the mark`);
  await waits('it is counted', async () => {
    return (await metric('cellnet_check_released_total{reason="scaled-down"}')) === 1;
  });
  assert.ok(await slotOf(ip1), 'pg-1 may come at any time');
  assert.equal(readFileSync(log, 'utf8').match(/"reason":"scaled-down"/g)?.length, 1);

  // The set is deleted: told, and kept.
  api.deleteStatefulSet('shop', 'pg');
  await stop('pg-0');
  await waits('it is told', async () => {
    return (await metric('cellnet_check_kept_unmade{reason="orphaned"}')) === 2;
  });
  await rounds(2);
  assert.ok(await slotOf(ip1));
  daemon.signal('SIGTERM');
  assert.equal(await daemon.ended, 0, daemon.output());
  assert.match(daemon.output(), /orphaned +shop\/pg-1 +no pg/);
  const once = await run(
    join(OUR_PLUGINS, 'cnictl'),
    ['check', ...options, '--orphaned', '--kubeconfig', kubeconfig],
    { env, timeoutMs: 30_000 },
  );
  assert.equal(once.code, 0, once.stdout + once.stderr);
  for (const ip of ips) assert.equal(await slotOf(ip), undefined, ip);
});
