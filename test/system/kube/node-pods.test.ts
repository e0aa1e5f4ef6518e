/** What the agent knows of the pods of its node without asking for each. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readFacts, type FactsReader } from '../../../cni/kube/facts.ts';
import type { PodOptions } from '../../support/kube-api-objects.ts';
import { pod } from '../../support/kube-api.ts';
import { isError, start, type Started } from './setup.ts';
import { until } from './watch-setup.ts';

interface Following extends Started {
  readonly reader: FactsReader;
  readonly clock: { now: number };
  /** How often a pod was asked for by its name. */
  readonly asked: () => number;
  readonly put: (name: string, more?: Partial<PodOptions>) => void;
  readonly labels: (name: string, uid?: string) => Promise<unknown>;
}

async function startFollowing(t: TestContext, allows = true): Promise<Following> {
  const started = await start(t);
  const { api, dir } = started;
  const kubeconfig = join(dir, 'kubeconfig');
  api.writeKubeconfig(kubeconfig);
  if (!allows)
    api.faults.when(({ query }) =>
      query.has('fieldSelector') ? { kind: 'status', status: 403 } : undefined,
    );
  const clock = { now: 0 };
  const reader = readFacts(
    { kubeconfig, env: { PATH: process.env['PATH'] }, deadlineMs: 5_000, retryPauseMs: 5 },
    {
      monotonic: () => clock.now,
      random: () => 0,
      schedule: (ms, work) => {
        const timer = setTimeout(work, ms / 100);
        return { cancel: () => clearTimeout(timer) };
      },
    },
  );
  t.after(() => reader.close());
  const put = (name: string, more: Partial<PodOptions> = {}): void =>
    void api.putPod(
      pod({ namespace: 'shop', name, uid: `uid-${name}`, node: 'n1', labels: { app: name }, ...more }),
    );
  return {
    ...started,
    ...{ reader, clock, put },
    asked: () => api.requests.filter(({ path }) => /\/pods\/[^/]+$/.test(path)).length,
    labels: async (name, uid = `uid-${name}`) =>
      (await reader.ask({ namespace: 'shop', name, uid }, ['pod'])).pod?.labels,
  };
}

/** Asks for pods until one comes without a request of its own. */
async function synced({ labels, asked, put }: Following): Promise<void> {
  put('first');
  const deadline = performance.now() + 10_000;
  for (;;) {
    const before = asked();
    assert.deepEqual(await labels('first'), { app: 'first' });
    if (asked() === before) return;
    assert.ok(performance.now() < deadline, 'nothing is followed');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('the first pod tells the node; all others of it come without a request', async (t) => {
  const following = await startFollowing(t);
  const { api, asked, labels, put, reader } = following;
  await synced(following);
  const selectors = api.requests
    .map(({ query }) => query.get('fieldSelector'))
    .filter((each) => each !== null);
  assert.deepEqual([...new Set(selectors)], ['spec.nodeName=n1']);
  const before = asked();
  put('web-1', { annotations: { 'cellnet.io/ip': '10.40.0.17', other: 'x' } });
  put('web-2', { configHash: 'hash-2' });
  // Of another node, and so not followed.
  put('far', { node: 'n2' });
  await until('both to be known', () => [...api.watches].length === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const facts = await reader.ask({ namespace: 'shop', name: 'web-1', uid: 'uid-web-1' }, ['pod']);
  assert.deepEqual(facts.pod, {
    ...{ labels: { app: 'web-1' }, ownerKind: undefined, annotations: { 'cellnet.io/ip': '10.40.0.17' } },
  });
  // A static pod, by the UID that its kubelet calls it.
  assert.deepEqual(await labels('web-2', 'hash-2'), { app: 'web-2' });
  assert.equal(asked(), before);
  assert.deepEqual(await labels('far'), { app: 'far' });
  assert.equal(asked(), before + 1);
});

test('never tells of an earlier pod of the name', async (t) => {
  const following = await startFollowing(t);
  const { api, asked, labels, put } = following;
  await synced(following);
  put('db-0', { uid: 'old', labels: { version: 'old' } });
  await until('the old one', () => [...api.watches].length === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  // The watch tells nothing of what follows.
  for (const watch of api.watches) watch.stall();
  put('db-0', { uid: 'new', labels: { version: 'new' } });
  const before = asked();
  assert.deepEqual(await labels('db-0', 'new'), { version: 'new' });
  assert.equal(asked(), before + 1);
  // The runtime may still work for a pod that is gone: nobody says what the other one is.
  put('db-1', { uid: 'newest' });
  await assert.rejects(labels('db-1', 'gone'), isError('malformed', /metadata\.uid/));
  // Without a UID the server is asked, each time.
  const { reader } = following;
  await reader.ask({ namespace: 'shop', name: 'first', uid: undefined }, ['pod']);
  await reader.ask({ namespace: 'shop', name: 'first', uid: undefined }, ['pod']);
  assert.equal(asked(), before + 4);
});

test('a change of a label is known; a silent or broken watch counts no more', async (t) => {
  const following = await startFollowing(t);
  const { api, asked, clock, labels, put } = following;
  await synced(following);
  put('first', { labels: { app: 'second' } });
  await new Promise((resolve) => setTimeout(resolve, 100));
  let before = asked();
  assert.deepEqual(await labels('first'), { app: 'second' });
  assert.equal(asked(), before);
  for (const watch of api.watches) watch.stall();
  clock.now += 76_000;
  put('first', { labels: { app: 'third' } });
  assert.deepEqual(await labels('first'), { app: 'third' });
  assert.equal(asked(), before + 1);
  api.faults.when(({ query }) => (query.has('fieldSelector') ? { kind: 'reset' } : undefined));
  for (const watch of api.watches) watch.cut();
  await until('the end of the watch', () => [...api.watches].length === 0);
  clock.now -= 76_000;
  await new Promise((resolve) => setTimeout(resolve, 100));
  before = asked();
  put('first', { labels: { app: 'fourth' } });
  assert.deepEqual(await labels('first'), { app: 'fourth' });
  assert.equal(asked(), before + 1);
  api.faults.clear();
  await synced({
    ...following,
    put: () => undefined,
    labels: async () => (await labels('first'), { app: 'first' }),
  });
});

test('where the role grants no list of pods each one is asked for', async (t) => {
  const { asked, labels, put } = await startFollowing(t, false);
  for (const [i, name] of ['a', 'b', 'a'].entries()) {
    put(name);
    assert.deepEqual(await labels(name), { app: name });
    assert.equal(asked(), i + 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
