import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeError } from '../../../cni/kube/errors.ts';
import { lies, node, pod, type Fault, type KubeObject } from '../../support/kube-api.ts';
import { fill, isError, start } from './setup.ts';

test('lists every pod once, in pages of 500, as a quorum read, over one connection', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 1234);
  const progress: number[] = [];
  const { pods, resourceVersion } = await connect().listPods({ onProgress: (n) => progress.push(n) });
  assert.equal(new Set(pods.map(({ uid }) => uid)).size, 1234);
  assert.equal(pods.length, 1234);
  assert.match(resourceVersion, /^\d+$/);
  assert.deepEqual(progress, [500, 1000, 1234]);
  assert.deepEqual(
    api.requests.map(({ path, query }) => [path, query.get('limit'), query.has('resourceVersion')]),
    Array.from({ length: 3 }, () => ['/api/v1/pods', '500', false]),
  );
  assert.equal(api.connections(), 1);
});

test('a cluster without pods, and one with exactly a page of them', async (t) => {
  const { api, connect } = await start(t);
  assert.deepEqual((await connect().listPods()).pods, []);
  fill(api, 500);
  assert.equal((await connect().listPods()).pods.length, 500);
});

test('shows the moment of the first page, whatever changes meanwhile', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 1200);
  api.faults.when(({ page }) => {
    if (page === 2) {
      api.putPod({ namespace: 'aaa', name: 'born-before', ip: '10.9.0.1' });
      api.putPod({ namespace: 'zzz', name: 'born-after', ip: '10.9.0.2' });
      api.deletePod('shop', 'pod-01100');
      api.finishPod('shop', 'pod-01101');
    }
    return undefined;
  });
  const kube = connect();
  const before = await kube.listPods();
  assert.equal(before.pods.length, 1200);
  assert.equal(before.pods.find(({ name }) => name === 'pod-01101')?.phase, 'Running');
  api.faults.clear();
  const after = await kube.listPods();
  assert.equal(after.pods.length, 1201);
  assert.equal(after.pods.find(({ name }) => name === 'pod-01101')?.phase, 'Succeeded');
  assert.notEqual(after.resourceVersion, before.resourceVersion);
});

test('begins anew when the server has forgotten the snapshot, and mixes nothing', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 1200);
  const progress: number[] = [];
  let compacted = false;
  api.faults.when(({ page }) => {
    if (page === 3 && !compacted) {
      compacted = true;
      api.deletePod('shop', 'pod-00000');
      api.putPod({ namespace: 'zzz', name: 'new', uid: 'new' });
      api.compact();
    }
    return undefined;
  });
  const { pods } = await connect().listPods({ onProgress: (n) => progress.push(n) });
  assert.equal(pods.length, 1200);
  assert.equal(pods.filter(({ name }) => ['pod-00000', 'new'].includes(name)).length, 1);
  assert.deepEqual(progress, [500, 1000, 500, 1000, 1200]);
});

test('gives up when every snapshot is forgotten', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 600);
  api.faults.when(({ page }) => {
    if (page === 2) api.compact();
    return undefined;
  });
  await assert.rejects(connect().listPods(), isError('expired', /after beginning 3 times/));
  assert.equal(api.requests.length, 6);
});

/** Each lie falsifies a list of three pages: 500, 500 and 200 items. */
const untrue: readonly (readonly [what: string, lie: Fault, says: RegExp])[] = [
  [
    'the token of page 2 comes again',
    lies.repeatToken(2),
    /metadata\.continue: expected a token that was not seen/,
  ],
  ['the last page lacks its tail', lies.dropTail(3, 10), /items: expected 1200 in all.*found 1190/],
  ['the list ends with page 2', lies.dropTail(2, 0), /items: expected 1200 in all.*found 1000/],
  ['an item is left out in the middle', lies.dropItem(2, 250), /items: expected 1200 in all.*found 1199/],
  [
    'page 2 is of another moment',
    lies.resourceVersion(2, '999'),
    /metadata\.resourceVersion: expected "\d+" as on the first/,
  ],
  ['page 1 is of no moment', lies.resourceVersion(1, '0'), /metadata\.resourceVersion/],
  [
    'the end says that more remain',
    lies.remaining(3, 7),
    /metadata\.continue: expected a token, as 7 items remain/,
  ],
  ['more was announced than comes', lies.remaining(1, 5000), /items: expected 5500 in all/],
  [
    'a pod comes twice in a page',
    lies.duplicateItem(1, 3),
    /items\[500\]\.metadata\.uid: expected each item once/,
  ],
  ['page 2 is a list of nodes', lies.kind(2, 'NodeList'), /kind: expected "PodList", found "NodeList"/],
  ['page 3 has no items', lies.items(3, undefined), /items: expected an array, found nothing/],
  ['page 3 has null items', lies.items(3, null), /items: expected an array, found null/],
  ['page 2 is empty', lies.items(2, []), /items: expected at least one/],
  ['an item is null', lies.items(3, [null]), /items\[0\]\.pod: expected an object, found null/],
  ['an item is another kind', lies.items(3, [{ kind: 'Node' }]), /items\[0\]\.kind: expected "Pod"/],
  [
    'a pod has no UID',
    lies.item(2, 7, (pod) => delete pod['metadata']?.['uid']),
    /items\[7\] \(shop\/pod-00507\)\.metadata\.uid/,
  ],
  [
    'a pod has no status',
    lies.item(1, 0, (pod) => delete pod['status']),
    /items\[0\] \(shop\/pod-00000\)\.status/,
  ],
  [
    'two pods have one name',
    lies.item(3, 0, (pod) => Object.assign(pod['metadata'] ?? {}, { name: 'pod-00000' })),
    /items\[0\]\.metadata\.name: expected each item once/,
  ],
];
for (const [what, lie, says] of untrue) {
  test(`is an error and never a shorter list: ${what}`, async (t) => {
    const { api, connect } = await start(t);
    fill(api, 1200);
    api.faults.when(() => lie);
    await assert.rejects(connect().listPods(), isError('malformed', says));
  });
}

test('nodes are listed the same way', async (t) => {
  const { api, connect } = await start(t);
  for (let i = 0; i < 700; i++) api.putNode(node({ name: `n${i}`, ready: i % 2 === 0 }));
  const nodes = await connect().listNodes();
  assert.equal(nodes.length, 700);
  assert.equal(nodes.filter(({ ready }) => ready).length, 350);
  api.faults.when(() => lies.dropTail(2, 1));
  await assert.rejects(connect().listNodes(), isError('malformed', /list nodes/));
});

test('StatefulSets are listed the same way, with the numbers of their pods', async (t) => {
  const { api, connect } = await start(t);
  for (let i = 0; i < 700; i++)
    api.putStatefulSet({ namespace: `ns-${i % 3}`, name: `db-${i}`, uid: `uid-${i}`, replicas: i });
  api.putStatefulSet({ namespace: 'shop', name: 'pg', uid: 'pg', replicas: 3, start: 5 });
  const deletionTimestamp = '2026-02-01T12:00:00Z';
  api.putStatefulSet({ namespace: 'shop', name: 'old', uid: 'old', deletionTimestamp });
  const sets = await connect().listStatefulSets();
  assert.equal(sets.length, 702);
  assert.deepEqual(
    sets.filter(({ namespace }) => namespace === 'shop'),
    [
      { namespace: 'shop', name: 'old', uid: 'old', replicas: 1, start: 0, isEnding: true },
      { namespace: 'shop', name: 'pg', uid: 'pg', replicas: 3, start: 5, isEnding: false },
    ],
  );
  assert.equal(sets.find(({ name }) => name === 'db-70')?.replicas, 70);
  const pages = api.requests.filter(({ path }) => path === '/apis/apps/v1/statefulsets');
  assert.deepEqual(
    pages.map(({ page }) => page),
    [1, 2],
  );
  api.faults.when(() => lies.dropTail(2, 1));
  await assert.rejects(connect().listStatefulSets(), isError('malformed', /list statefulsets/));
  // A default of ours could end what is kept.
  api.faults.when(() => lies.item(1, 0, (set) => delete set['spec']?.['replicas']));
  await assert.rejects(connect().listStatefulSets(), isError('malformed', /spec\.replicas/));
});

test('a user that may not list StatefulSets is told how to be granted it', async (t) => {
  const { connect } = await start(t, {
    forbid: (_, verb, resource) => `${verb} ${resource}` === 'list statefulsets',
  });
  await assert.rejects(connect().listStatefulSets(), (error) => {
    assert.ok(isError('forbidden', /resource "statefulsets" of the API group apps, at cluster scope/)(error));
    assert.match((error as KubeError).remedy, /--verb=list --resource=statefulsets\.apps/);
    return true;
  });
});

test('one node is found by its name, whatever its capitals, as the kubelet registers it', async (t) => {
  const { api, connect } = await start(t);
  api.putNode(node({ name: 'node-1.cell', uid: 'n1' }));
  assert.equal((await connect().getNode('Node-1.Cell'))?.uid, 'n1');
  assert.equal(await connect().getNode('node-1'), undefined);
  await assert.rejects(connect().getNode('Node_1'), isError('malformed', /node name 'node_1'/));
});

test('500,000 pods, made as they are asked for, are served in pages', { timeout: 60_000 }, async (t) => {
  const { api, connect } = await start(t, { bulk: { count: 500_000, make: bulkPod } });
  const controller = new AbortController();
  const listing = connect({ deadlineMs: 50_000 }).listPods({
    signal: controller.signal,
    onProgress: (n) => {
      if (n >= 5000) controller.abort();
    },
  });
  await assert.rejects(listing, isError('cancelled'));
  assert.equal(api.pods.keysAt(Number.MAX_SAFE_INTEGER).length, 500_000);
});

const bulkPod = (i: number): KubeObject => pod({ namespace: 'bulk', name: `pod-${i}`, uid: `uid-${i}` });
