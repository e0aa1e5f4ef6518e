import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ServiceTable } from '../../../../cni/services/service-table.ts';
import {
  endpoint,
  forbidden,
  NOT_READY,
  PORT,
  served,
  service,
  slice,
  taken,
  TERMINATING,
} from './values.ts';

const NOTHING = { changed: {}, removed: [] };
const KEY = '6 10.96.0.1 80';

/** Returns a table of node-1 with the Service `shop/web` and its endpoint, both taken. */
function withWeb(): ServiceTable {
  const table = new ServiceTable();
  table.setNode({ nodeName: 'node-1', zone: 'a' });
  table.putService('shop/web', service('web', '10.96.0.1'));
  table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
  table.take();
  return table;
}

suite('what changed since the last look', () => {
  test('nothing at first, and nothing twice', () => {
    const table = new ServiceTable();
    assert.deepEqual(taken(table), NOTHING);
    table.putService('shop/web', service('web', '10.96.0.1'));
    assert.deepEqual(taken(table), { changed: { [KEY]: 'shop/web cluster -> ' }, removed: [] });
    assert.deepEqual(taken(table), NOTHING);
  });

  test('slices may come before their Service', () => {
    const table = new ServiceTable();
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
    assert.deepEqual(taken(table), NOTHING);
    table.putService('shop/web', service('web', '10.96.0.1'));
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> 10.20.0.1 8080' });
  });

  test('an endpoint comes and goes', () => {
    const table = withWeb();
    table.putSlice('shop/web-2', slice('web', ['10.20.0.2']));
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> 10.20.0.1 8080, 10.20.0.2 8080' });
    table.removeSlice('shop/web-1');
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> 10.20.0.2 8080' });
    table.removeSlice('shop/web-2');
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> ' });
  });

  test('what comes out equal is no change', () => {
    const table = withWeb();
    table.putService('shop/web', { ...service('web', '10.96.0.1'), uid: 'another' });
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1', endpoint('10.20.0.2', NOT_READY)]));
    table.putSlice('shop/web-2', slice('web', [endpoint('10.20.0.3', TERMINATING)]));
    table.setNode({ nodeName: 'node-2', zone: 'b' });
    table.setForbidden(forbidden(['10.20.0.0/22']));
    assert.deepEqual(taken(table), NOTHING);
  });

  test('neither is what was undone meanwhile', () => {
    const table = withWeb();
    table.removeService('shop/web');
    table.removeSlice('shop/web-1');
    assert.deepEqual(served(table), {});
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
    table.putService('shop/web', service('web', '10.96.0.1'));
    assert.deepEqual(taken(table), NOTHING);
    table.putService('shop/new', service('new', '10.96.0.2'));
    assert.equal(table.counts().frontends, 2);
    table.removeService('shop/new');
    assert.deepEqual(taken(table), NOTHING);
  });

  test('every trait of a frontend counts', () => {
    const table = withWeb();
    const changes = [
      { affinitySeconds: 600 },
      { affinitySeconds: 60 },
      { ports: [{ ...PORT, name: 'other' }] },
      { loadBalancerIPs: ['198.51.100.9'] },
      { loadBalancerIPs: ['198.51.100.9'], loadBalancerSourceRanges: ['203.0.113.0/24'] },
      { loadBalancerIPs: ['198.51.100.9'], loadBalancerSourceRanges: ['203.0.113.0/25'] },
    ];
    for (const more of changes) {
      table.putService('shop/web', service('web', '10.96.0.1', more));
      assert.notDeepEqual(taken(table), NOTHING, JSON.stringify(more));
    }
    for (const more of [{ nodeName: 'node-2' }, { podUid: 'uid' }]) {
      table.putService('shop/web', service('web', '10.96.0.1'));
      table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
      table.take();
      table.putSlice('shop/web-1', slice('web', [endpoint('10.20.0.1', more)]));
      assert.deepEqual(Object.keys(taken(table).changed), [KEY], JSON.stringify(more));
    }
  });

  test('a Service that gets another address, or none', () => {
    const table = withWeb();
    table.putService('shop/web', service('web', '10.96.0.2'));
    const moved = { '6 10.96.0.2 80': 'shop/web cluster -> 10.20.0.1 8080' };
    assert.deepEqual(taken(table), { changed: moved, removed: [KEY] });
    table.putService('shop/web', service('web', '', { clusterIPs: [] }));
    assert.deepEqual(taken(table), { changed: {}, removed: ['6 10.96.0.2 80'] });
  });

  test('a slice that goes to another Service, or to none', () => {
    const table = withWeb();
    table.putService('shop/api', service('api', '10.96.0.2'));
    table.putSlice('shop/web-1', slice('api', ['10.20.0.1']));
    assert.deepEqual(taken(table).changed, {
      [KEY]: 'shop/web cluster -> ',
      '6 10.96.0.2 80': 'shop/api cluster -> 10.20.0.1 8080',
    });
    table.putSlice('shop/web-1', slice(undefined, ['10.20.0.1']));
    assert.deepEqual(taken(table).changed, { '6 10.96.0.2 80': 'shop/api cluster -> ' });
  });

  test('where slices disagree, the order in which they came does not matter', () => {
    const nodes = (keys: readonly string[]): unknown => {
      const table = withWeb();
      for (const key of keys)
        table.putSlice(key, slice('web', [endpoint('10.20.0.5', { nodeName: `of ${key}` })]));
      return [...table.all()].map(([, { endpoints }]) => endpoints.map(({ nodeName }) => nodeName));
    };
    assert.deepEqual(nodes(['shop/s2', 'shop/s1']), [[undefined, 'of shop/s1']]);
    assert.deepEqual(nodes(['shop/s1', 'shop/s2']), [[undefined, 'of shop/s1']]);
  });

  test("a slice is its namespace's", () => {
    const table = withWeb();
    table.putSlice('evil/web-1', slice('web', ['203.0.113.6'], { namespace: 'evil' }));
    assert.deepEqual(taken(table), NOTHING);
  });

  test('what nobody knows may be removed', () => {
    const table = withWeb();
    table.removeService('shop/none');
    table.removeSlice('shop/none-1');
    table.putSlice('shop/none-1', slice('none', ['10.20.0.9']));
    table.removeService('shop/none');
    assert.deepEqual(taken(table), NOTHING);
  });

  test('a new list replaces all', () => {
    const table = withWeb();
    table.putSlice('shop/web-2', slice('web', ['10.20.0.2']));
    table.replaceServices(
      new Map([
        ['shop/web', service('web', '10.96.0.1')],
        ['shop/api', service('api', '10.96.0.2')],
      ]),
    );
    table.replaceSlices(new Map([['shop/web-1', slice('web', ['10.20.0.1'])]]));
    assert.deepEqual(taken(table), { changed: { '6 10.96.0.2 80': 'shop/api cluster -> ' }, removed: [] });
    table.replaceServices(new Map());
    table.replaceSlices(new Map());
    assert.deepEqual(taken(table), { changed: {}, removed: [KEY, '6 10.96.0.2 80'] });
    assert.deepEqual(table.counts(), { services: 0, slices: 0, frontends: 0, endpoints: 0 });
  });

  test('Services that were not touched keep their objects', () => {
    const table = withWeb();
    const first = new Map(table.all()).get(KEY);
    table.putService('shop/api', service('api', '10.96.0.2'));
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
    assert.equal(new Map(table.all()).get(KEY), first);
  });
});

suite('the policies and places of a Service', () => {
  const POLICY = {
    internalTrafficPolicy: 'Local',
    externalIPs: ['192.0.2.5'],
    loadBalancerIPs: ['198.51.100.9'],
  } as const;
  const on = (nodeName: string, address: string): ReturnType<typeof endpoint> =>
    endpoint(address, { nodeName });

  test('internalTrafficPolicy Local is for the cluster address only', () => {
    const table = withWeb();
    table.putService('shop/web', service('web', '10.96.0.1', POLICY));
    table.putSlice('shop/web-1', slice('web', [on('node-1', '10.20.0.1'), on('node-2', '10.20.0.2')]));
    assert.deepEqual(served(table), {
      [KEY]: 'shop/web cluster -> 10.20.0.1 8080',
      '6 198.51.100.9 80': 'shop/web load-balancer -> 10.20.0.1 8080, 10.20.0.2 8080',
      '6 192.0.2.5 80': 'shop/web external -> 10.20.0.1 8080, 10.20.0.2 8080',
    });
  });

  test('the node gets its name and its zone later', () => {
    const table = new ServiceTable();
    table.putService('shop/web', service('web', '10.96.0.1', { internalTrafficPolicy: 'Local' }));
    table.putSlice('shop/web-1', slice('web', [on('node-1', '10.20.0.1')]));
    table.putService('shop/api', service('api', '10.96.0.2'));
    const hinted = ['a', 'b'].map((zone, i) => endpoint(`10.20.0.${i}`, { hintZones: [zone] }));
    table.putSlice('shop/api-1', slice('api', hinted));
    assert.equal(
      taken(table).changed['6 10.96.0.2 80'],
      'shop/api cluster -> 10.20.0.0 8080, 10.20.0.1 8080',
    );
    table.setNode({ nodeName: 'node-1', zone: undefined });
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> 10.20.0.1 8080' });
    table.setNode({ nodeName: 'node-1', zone: 'b' });
    assert.deepEqual(taken(table).changed, { '6 10.96.0.2 80': 'shop/api cluster -> 10.20.0.1 8080' });
  });

  test('frontends of one port share one list of endpoints', () => {
    const table = withWeb();
    table.putService(
      'shop/web',
      service('web', '10.96.0.1', { ...POLICY, internalTrafficPolicy: 'Cluster' }),
    );
    const lists = new Set([...table.take().changed.values()].map(({ endpoints }) => endpoints));
    assert.equal(lists.size, 1);
  });

  test('both families, each with its own endpoints', () => {
    const table = new ServiceTable();
    table.putService('shop/web', service('web', '', { clusterIPs: ['10.96.0.1', 'fd00:96::1'] }));
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1']));
    table.putSlice('shop/web-2', slice('web', ['fd00:20::1'], { family: 6 }));
    assert.deepEqual(served(table), {
      [KEY]: 'shop/web cluster -> 10.20.0.1 8080',
      '6 fd00:96::1 80': 'shop/web cluster -> fd00:20::1 8080',
    });
  });
});

suite('counts', () => {
  test('Services with a virtual address, frontends, and endpoints once for each Service', () => {
    const table = withWeb();
    const two = { ports: [PORT, { ...PORT, name: 'https', port: 443 }], externalIPs: ['192.0.2.5'] };
    table.putService('shop/web', service('web', '10.96.0.1', two));
    table.putService('shop/none', service('none', '', { clusterIPs: [] }));
    table.putSlice('shop/none-1', slice('none', ['10.20.0.9']));
    table.putService('shop/api', service('api', '10.96.0.2'));
    table.putSlice('shop/api-1', slice('api', ['10.20.0.1', '10.20.0.2']));
    assert.deepEqual(table.counts(), { services: 2, slices: 3, frontends: 5, endpoints: 3 });
  });
});
