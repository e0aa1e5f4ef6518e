/* Tests the test API server against the API's documentation, because other tests rely on it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { connectKube } from '../../../cni/kube/connect.ts';
import { endpointSlice, pod, service } from '../../support/kube-api.ts';
import { fill, start, tempDir } from './setup.ts';

interface List {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly { readonly kind?: string; readonly metadata: { readonly name: string } }[];
}
interface Status {
  readonly kind: string;
  readonly code: number;
  readonly reason: string;
  readonly metadata: { readonly continue?: string };
}

async function ask<T>(url: string): Promise<T> {
  return (await (await fetch(url, { signal: AbortSignal.timeout(5000) })).json()) as T;
}

test('pages: count, order, remaining, and neither kind nor version on the items', async (t) => {
  const { api } = await start(t);
  fill(api, 5);
  const first = await ask<List>(`${api.url}/api/v1/pods?limit=2`);
  const second = await ask<List>(`${api.url}/api/v1/pods?limit=2&continue=${first.metadata.continue ?? ''}`);
  const third = await ask<List>(`${api.url}/api/v1/pods?limit=2&continue=${second.metadata.continue ?? ''}`);
  const pages = [first, second, third];
  assert.deepEqual(
    pages.map(({ metadata }) => metadata.remainingItemCount),
    [3, 1, undefined],
  );
  assert.deepEqual(
    pages.flatMap(({ items }) => items.map(({ metadata }) => metadata.name)),
    [0, 1, 2, 3, 4].map((i) => `pod-0000${i}`),
  );
  assert.equal(new Set(pages.map(({ metadata }) => metadata.resourceVersion)).size, 1);
  assert.equal(third.metadata.continue, undefined);
  assert.equal(first.items[0]?.kind, undefined);
});

test('a token that is too old: 410, and the offer of one that mixes', async (t) => {
  const { api } = await start(t);
  fill(api, 3);
  const { metadata } = await ask<List>(`${api.url}/api/v1/pods?limit=2`);
  api.compact();
  const gone = await ask<Status>(`${api.url}/api/v1/pods?limit=2&continue=${metadata.continue ?? ''}`);
  assert.deepEqual([gone.kind, gone.code, gone.reason], ['Status', 410, 'Expired']);
  const newer = await ask<List>(`${api.url}/api/v1/pods?limit=2&continue=${gone.metadata.continue ?? ''}`);
  assert.notEqual(newer.metadata.resourceVersion, metadata.resourceVersion);
  assert.equal(newer.items.length, 1);
});

test('selectors, namespaces, refused parameters', async (t) => {
  const { api } = await start(t);
  fill(api, 9);
  api.putPod({ namespace: 'other', name: 'a', node: 'n1' });
  const list = (query: string): Promise<List> => ask(`${api.url}/api/v1/${query}`);
  const onNode = await list('pods?fieldSelector=spec.nodeName%3Dn1&limit=1');
  assert.equal(onNode.items.length, 1);
  assert.equal(onNode.metadata.remainingItemCount, undefined);
  assert.equal((await list('pods?fieldSelector=spec.nodeName=n1')).items.length, 4);
  assert.equal((await list('namespaces/shop/pods')).items.length, 9);
  assert.equal((await list('namespaces')).items.length, 4);
  for (const query of [
    'pods?limit=x',
    'pods?continue=!',
    'pods?continue=e30&resourceVersion=5',
    'pods?fieldSelector=a=b',
  ]) {
    assert.equal((await ask<Status>(`${api.url}/api/v1/${query}`)).code, 400, query);
  }
  assert.equal((await ask<Status>(`${api.url}/apis/apps/v1/deployments`)).code, 404);
});

test('Services and endpoint slices, with label selectors', async (t) => {
  const forbid = (_user: string, verb: string, resource: string): boolean =>
    verb === 'get' && resource === 'endpointslices';
  const { api } = await start(t, { forbid });
  api.putService(service({ namespace: 'shop', name: 'web', labels: { app: 'web', tier: '' } }));
  api.putService(service({ namespace: 'shop', name: 'db', labels: { app: 'db' } }));
  api.putService(service({ name: 'kubernetes' }));
  api.putEndpointSlice(endpointSlice({ namespace: 'shop', name: 'web-1', service: 'web' }));
  const names = async (selector: string, path = 'services'): Promise<string> => {
    const { items } = await ask<List>(
      `${api.url}/api/v1/${path}?labelSelector=${encodeURIComponent(selector)}`,
    );
    return items.map(({ metadata }) => metadata.name).join();
  };
  assert.equal(await names('app'), 'db,web');
  assert.equal(await names('!app'), 'kubernetes');
  assert.equal(await names('app=web'), 'web');
  assert.equal(await names('app!=web,app'), 'db');
  assert.equal(await names('!tier,app==db'), 'db');
  assert.equal(await names('!tier', 'namespaces/shop/services'), 'db');
  assert.equal((await ask<Status>(`${api.url}/api/v1/services?labelSelector=a%20in%20(b)`)).code, 400);
  const discovery = `${api.url}/apis/discovery.k8s.io/v1`;
  for (const path of ['endpointslices', 'namespaces/shop/endpointslices']) {
    const list = await ask<List & Record<string, unknown>>(`${discovery}/${path}`);
    assert.deepEqual([list['kind'], list['apiVersion']], ['EndpointSliceList', 'discovery.k8s.io/v1']);
    assert.deepEqual(
      list.items.map(({ metadata }) => metadata.name),
      ['web-1'],
    );
    assert.ok('addressType' in (list.items[0] ?? {}));
  }
  const slice = await ask<Status & { message: string }>(`${discovery}/namespaces/shop/endpointslices/web-1`);
  assert.match(slice.message, /cannot get resource "endpointslices" in API group "discovery\.k8s\.io"/);
  assert.equal((await ask<Status>(`${api.url}/api/v1/endpointslices`)).code, 404);
});

test('a watch: what was missed, what comes, bookmarks, and 410', { timeout: 20_000 }, async (t) => {
  const { api } = await start(t);
  api.putPod({ name: 'old' });
  const since = (await ask<List>(`${api.url}/api/v1/pods`)).metadata.resourceVersion;
  api.putPod({ name: 'missed' });
  const watching = await fetch(
    `${api.url}/api/v1/pods?watch=true&resourceVersion=${since}&allowWatchBookmarks=true&timeoutSeconds=2`,
  );
  api.putPod({ name: 'new' });
  api.finishPod('default', 'new');
  api.deletePod('default', 'old');
  const lines = (await watching.text()).trim().split('\n');
  const events = lines.map(
    (line) => JSON.parse(line) as { type: string; object: { metadata: { name?: string } } },
  );
  assert.deepEqual(
    events.slice(0, 4).map(({ type, object }) => [type, object.metadata.name]),
    [
      ['ADDED', 'missed'],
      ['ADDED', 'new'],
      ['MODIFIED', 'new'],
      ['DELETED', 'old'],
    ],
  );
  assert.equal(events[4]?.type, 'BOOKMARK');
  api.compact();
  const late = await ask<{ type: string; object: Status }>(
    `${api.url}/api/v1/pods?watch=true&resourceVersion=${since}`,
  );
  assert.deepEqual([late.type, late.object.code], ['ERROR', 410]);
});

test('generated pods can be changed and removed like any other', async (t) => {
  const make = (i: number) => pod({ namespace: 'bulk', name: `pod-${i}`, uid: `u${i}`, node: 'n1' });
  const { api, connect } = await start(t, { bulk: { count: 1000, make } });
  api.finishPod('bulk', 'pod-7');
  api.deletePod('bulk', 'pod-8');
  api.putPod({ namespace: 'bulk', name: 'pod-x' });
  const { pods } = await connect().listPods();
  assert.equal(pods.length, 1000);
  assert.deepEqual(
    pods.filter(({ phase }) => phase === 'Succeeded').map(({ name }) => name),
    ['pod-7'],
  );
});

test(
  'as a process: prints its URL, writes a kubeconfig, is changed from outside',
  { timeout: 30_000 },
  async (t) => {
    const kubeconfig = join(tempDir(t), 'kubeconfig');
    const main = new URL('../../support/kube-api-main.ts', import.meta.url).pathname;
    const args = ['--import', 'tsx', main, '--port', '0', '--kubeconfig', kubeconfig, '--pods', '3'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
    assert.ok(existsSync(kubeconfig));
    const kube = connectKube({ kubeconfig, env: {}, deadlineMs: 5000 });
    t.after(() => kube.close());
    assert.equal((await kube.listPods()).pods.length, 3);
    const change = (method: string, path: string, body?: unknown) =>
      fetch(`${url}/_test/${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    assert.equal(
      (await change('PUT', 'pods/shop/web-1', { uid: 'u1', node: 'n1', ip: '10.0.0.1' })).status,
      200,
    );
    assert.equal((await kube.getPod('shop', 'web-1'))?.uid, 'u1');
    assert.equal((await change('DELETE', 'pods/shop/web-1')).status, 200);
    assert.equal((await change('DELETE', 'pods/shop/web-1')).status, 404);
    assert.equal((await change('PUT', 'services/shop/web', { clusterIPs: ['10.96.0.1'] })).status, 200);
    assert.equal((await change('PUT', 'endpointslices/shop/web-1', { service: 'web' })).status, 200);
    const service = `${url}/api/v1/namespaces/shop/services/web`;
    assert.equal((await ask<{ kind: string }>(service)).kind, 'Service');
    assert.equal((await change('DELETE', 'services/shop/web')).status, 200);
    assert.equal((await change('DELETE', 'endpointslices/shop/web-1')).status, 200);
    assert.equal((await change('DELETE', 'endpointslices/shop/web-1')).status, 404);
    assert.equal(await kube.getPod('shop', 'web-1'), undefined);
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  },
);
