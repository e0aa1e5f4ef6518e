import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '../../../cni/kube/endpoint-slice.ts';
import { endpoint, endpointSlice, service } from '../../support/kube-api.ts';
import { fillServices, numbered, Recorder, startWatched, until } from './watch-setup.ts';

const timeout = 30_000;

test('a list of several pages, then the events in their order', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, watch, lists, watches } = watched;
  fillServices(watched, 1200);
  const reflection = watch();
  assert.equal(reflection.synced(), false);
  assert.equal(reflection.lastHeardAt(), undefined);
  await until('the watch works', () => recorder.log.includes('well'));
  assert.deepEqual(recorder.log, ['= 1200', 'well']);
  assert.equal(reflection.synced(), true);
  assert.ok((reflection.lastHeardAt() ?? 0) > 0);
  api.putService(service({ namespace: 'shop', name: 'new', clusterIPs: ['10.96.9.9'] }));
  api.putService(service({ namespace: 'shop', name: 'new', clusterIPs: ['10.96.9.10'] }));
  api.deleteService('shop', 'svc-0007');
  api.putService(service({ namespace: 'shop', name: 'svc-0008', clusterIPs: ['10.96.9.8'] }));
  await until('all events came', () => recorder.log.length === 6);
  assert.deepEqual(recorder.log.slice(2), ['+ shop/new', '+ shop/new', '- shop/svc-0007', '+ shop/svc-0008']);
  assert.deepEqual(recorder.items.get('shop/new')?.clusterIPs, ['10.96.9.10']);
  assert.equal(recorder.items.size, 1200);

  const selector = '!service.kubernetes.io/service-proxy-name';
  assert.equal(lists().length, 3);
  for (const { path, query } of [...lists(), ...watches()]) {
    assert.equal(path, '/api/v1/services');
    assert.equal(query.get('labelSelector'), selector);
  }
  assert.equal(watches().length, 1);
  const query = watches()[0]?.query;
  assert.equal(query?.get('allowWatchBookmarks'), 'true');
  const seconds = Number(query.get('timeoutSeconds'));
  assert.ok(seconds >= 300 && seconds <= 600, `${seconds} s`);
});

test('a change between two pages, and one between list and watch', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, watch } = watched;
  fillServices(watched, 1200);
  api.faults.when(({ page, query }) => {
    if (page === 2) {
      api.deleteService('shop', 'svc-0003');
      api.putService(service({ namespace: 'shop', name: 'a-new', uid: 'u' }));
    }
    if (query.has('watch')) api.deleteService('shop', 'svc-1100');
    return undefined;
  });
  watch();
  await until('all events came', () => recorder.items.size === 1199);
  assert.deepEqual(
    recorder.log.filter((line) => line !== 'well'),
    ['= 1200', `- ${numbered(3)}`, '+ shop/a-new', `- ${numbered(1100)}`],
  );
});

test('Services of another proxy are left out, also when they become so later', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, watch } = watched;
  const labels = { 'service.kubernetes.io/service-proxy-name': 'other' };
  api.putService(service({ name: 'a', labels }));
  api.putService(service({ name: 'b' }));
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
  assert.deepEqual(recorder.keys, ['default/b']);
  api.putService(service({ name: 'b', labels }));
  api.putService(service({ name: 'a' }));
  api.putService(service({ name: 'a', labels }));
  api.deleteService('default', 'b');
  api.putService(service({ name: 'c' }));
  await until('all events came', () => recorder.keys.includes('default/c'));
  assert.deepEqual(recorder.log.slice(2), ['- default/b', '+ default/a', '- default/a', '+ default/c']);
});

test(
  'endpoint slices, beside the Services: one request each, without headless ones',
  { timeout },
  async (t) => {
    const watched = await startWatched(t);
    const { api, kube, recorder, watch, watches } = watched;
    const slices = new Recorder<EndpointSlice>();
    const endpoints = [endpoint('10.0.0.1', { zone: 'a' })];
    api.putEndpointSlice(endpointSlice({ name: 'web-1', service: 'web', endpoints }));
    const headless = { 'service.kubernetes.io/headless': '' };
    api.putEndpointSlice(endpointSlice({ name: 'db-1', service: 'db', labels: headless }));
    watch();
    kube.watchEndpointSlices(slices, slices);
    await until('both watches work', () => [slices, recorder].every(({ log }) => log.includes('well')));
    assert.deepEqual(slices.keys, ['default/web-1']);
    assert.equal(slices.items.get('default/web-1')?.endpoints[0]?.zone, 'a');
    api.putEndpointSlice(endpointSlice({ name: 'web-1', service: 'web', endpoints: null }));
    await until('the change came', () => slices.items.get('default/web-1')?.endpoints.length === 0);
    assert.equal(api.openConnections(), 2);
    kube.close();
    await until('both connections are closed', () => api.openConnections() === 0);
    assert.deepEqual(
      watches()
        .map(({ path, query }) => [path, query.get('labelSelector')])
        .sort(),
      [
        ['/api/v1/services', '!service.kubernetes.io/service-proxy-name'],
        [
          '/apis/discovery.k8s.io/v1/endpointslices',
          '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name',
        ],
      ],
    );
  },
);

test('characters of several bytes, and a line of a megabyte', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, watch } = watched;
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
  const large = service({ name: 'large', clusterIPs: ['10.96.0.1'] });
  large.metadata.annotations = { note: '日本語🚀'.repeat(100_000) };
  api.putService(large);
  api.putService(service({ name: 'last' }));
  await until('both came', () => recorder.items.size === 2);
  assert.deepEqual(recorder.log, ['= 0', 'well', '+ default/large', '+ default/last']);
});

test('a closed watch leaves no connection and says nothing more', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, kube, recorder, watch } = watched;
  const reflection = watch();
  await until('the watch works', () => recorder.log.includes('well'));
  assert.equal(api.openConnections(), 1, 'the watch uses the connection of the list');
  reflection.close();
  api.putService(service({ name: 'late' }));
  await until('the connection is closed', () => api.openConnections() === 0);
  assert.deepEqual(recorder.log, ['= 0', 'well']);
  assert.equal(api.watches.size, 0);

  watch();
  await until('the second watch works', () => api.watches.size === 1);
  kube.close();
  await until('the connection is closed', () => api.openConnections() === 0);
  assert.equal(api.requests.length, 4);
});

test('a watch can be closed at any moment', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, watch } = watched;
  watch().close();
  api.faults.when(({ query }) => (query.has('watch') ? { kind: 'hang' } : undefined));
  const opening = watch();
  await until('the watch is requested', () => api.requests.some(({ query }) => query.has('watch')));
  opening.close();
  await until('the connection is closed', () => api.openConnections() === 0);
  api.faults.when(() => ({ kind: 'status', status: 403 }));
  const denied = watch();
  await until('the refusal is told', () => recorder.log.some((line) => line.startsWith('trouble')));
  denied.close();
  const { length } = api.requests;
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(api.requests.length, length, 'it makes no further attempt');
});
