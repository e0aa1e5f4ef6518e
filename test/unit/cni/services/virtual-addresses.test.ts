import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ServiceTable } from '../../../../cni/services/service-table.ts';
import { forbidden, PORT, refusals, served, service, slice, taken } from './values.ts';

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

suite('several Services with one virtual address', () => {
  const EXTERNAL = '6 192.0.2.5 80';
  const claiming = (name: string, n: number, more = {}): ReturnType<typeof service> =>
    service(name, `10.96.0.${n}`, { externalIPs: ['192.0.2.5'], ...more });

  test('the first by name is served, the other is refused, whatever came first', () => {
    const table = new ServiceTable();
    table.putService('shop/web', claiming('web', 1));
    assert.equal(taken(table).changed[EXTERNAL], 'shop/web external -> ');
    table.putService('shop/api', claiming('api', 2));
    assert.equal(taken(table).changed[EXTERNAL], 'shop/api external -> ');
    assert.deepEqual(refusals(table), [
      'shop/web: TCP port 80 of the external IP 192.0.2.5 is served for shop/api, which has it as the external IP 192.0.2.5',
    ]);
  });

  test('when that one goes, the other comes in', () => {
    const table = new ServiceTable();
    table.putService('shop/web', claiming('web', 1));
    table.putService('shop/api', claiming('api', 2));
    table.take();
    assert.equal(refusals(table).length, 1);
    table.removeService('shop/api');
    assert.deepEqual(taken(table), {
      changed: { [EXTERNAL]: 'shop/web external -> ' },
      removed: ['6 10.96.0.2 80'],
    });
    assert.deepEqual(refusals(table), []);
  });

  test('a cluster address wins over a load balancer, that over an external one', () => {
    const table = new ServiceTable();
    table.putService('shop/a', claiming('a', 1));
    table.putService('shop/b', service('b', '10.96.0.2', { loadBalancerIPs: ['192.0.2.5'] }));
    assert.equal(served(table)[EXTERNAL], 'shop/b load-balancer -> ');
    table.putService('shop/c', service('c', '192.0.2.5'));
    assert.equal(served(table)[EXTERNAL], 'shop/c cluster -> ');
    assert.equal(refusals(table).length, 2);
  });

  test('nobody can take the address of the DNS away', () => {
    const table = new ServiceTable();
    const dns = { ports: [{ ...PORT, port: 53, protocol: 'UDP' as const }] };
    table.putService('kube-system/kube-dns', service('kube-dns', '10.96.0.10', dns));
    table.take();
    table.putService('a/evil', service('evil', '10.96.0.66', { externalIPs: ['10.96.0.10'], ...dns }));
    assert.deepEqual(taken(table).changed, { '17 10.96.0.66 53': 'a/evil cluster -> ' });
    assert.match(
      refusals(table).join(),
      /^a\/evil: UDP port 53 of the external IP 10\.96\.0\.10 is served for kube/,
    );
  });

  test('other ports and protocols of one address are no conflict', () => {
    const table = new ServiceTable();
    table.putService('shop/web', claiming('web', 1));
    table.putService('shop/api', claiming('api', 2, { ports: [{ ...PORT, port: 81 }] }));
    table.putService('shop/dns', claiming('dns', 3, { ports: [{ ...PORT, protocol: 'UDP' }] }));
    assert.deepEqual(refusals(table), []);
    assert.equal(table.counts().frontends, 6);
  });
});

suite('what is refused', () => {
  test('addresses that are forbidden later, or no longer', () => {
    const table = withWeb();
    table.putService('shop/web', service('web', '10.96.0.1', { externalIPs: ['192.0.2.5'] }));
    table.take();
    table.setForbidden(forbidden(['192.0.2.0/24']));
    assert.deepEqual(taken(table), { changed: {}, removed: ['6 192.0.2.5 80'] });
    assert.match(refusals(table).join(), /the external IP 192\.0\.2\.5 is in the range range0/);
    table.setForbidden(forbidden([]));
    assert.deepEqual(Object.keys(taken(table).changed), ['6 192.0.2.5 80']);
    assert.deepEqual(refusals(table), []);
  });

  test('ends with the Service, and with its correction', () => {
    const table = withWeb();
    const wrong = service('web', '10.96.0.1', { externalIPs: ['127.0.0.1'] });
    table.putService('shop/web', wrong);
    assert.equal(refusals(table).length, 1);
    table.putService('shop/web', service('web', '10.96.0.1'));
    assert.deepEqual(refusals(table), []);
    table.putService('shop/web', wrong);
    table.removeService('shop/web');
    assert.deepEqual(refusals(table), []);
  });

  test('endpoints of Services without a virtual address are not told', () => {
    const table = new ServiceTable();
    table.putSlice('shop/web-1', slice('web', ['127.0.0.1']));
    table.putService('shop/web', service('web', '', { clusterIPs: [] }));
    assert.deepEqual(refusals(table), []);
    table.putService('shop/web', service('web', '10.96.0.1'));
    assert.match(
      refusals(table).join(),
      /the endpoint 127\.0\.0\.1 in EndpointSlice shop\/web-1 is a loopback/,
    );
  });
});

suite('endpoints at virtual addresses', () => {
  test("a cluster address is no endpoint, its own Service's or another's, while it is one", () => {
    const table = withWeb();
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1', '10.96.0.1', '10.96.0.2']));
    assert.deepEqual(taken(table).changed, { [KEY]: 'shop/web cluster -> 10.20.0.1 8080, 10.96.0.2 8080' });
    table.putService('shop/api', service('api', '10.96.0.2'));
    assert.equal(taken(table).changed[KEY], 'shop/web cluster -> 10.20.0.1 8080');
    assert.deepEqual(refusals(table), [
      "shop/web: the endpoint 10.96.0.1 in EndpointSlice shop/web-1 is a Service's cluster IP",
      "shop/web: the endpoint 10.96.0.2 in EndpointSlice shop/web-1 is a Service's cluster IP",
    ]);
    table.removeService('shop/api');
    assert.equal(taken(table).changed[KEY], 'shop/web cluster -> 10.20.0.1 8080, 10.96.0.2 8080');
  });

  test('a cluster address that is refused is none', () => {
    const table = withWeb();
    table.setForbidden(forbidden(['10.20.0.0/22']));
    table.putService('evil/x', service('x', '10.20.0.1'));
    assert.deepEqual(taken(table), NOTHING);
    assert.match(refusals(table).join(), /^evil\/x: the cluster IP 10\.20\.0\.1/);
  });

  test("nobody takes away others' endpoints outside the cluster by an external address", () => {
    const table = new ServiceTable();
    table.putService('default/kubernetes', service('kubernetes', '10.96.0.1'));
    table.putSlice('default/k', slice('kubernetes', ['192.0.2.10'], { namespace: 'default' }));
    table.take();
    table.putService('evil/x', service('x', '10.96.0.66', { externalIPs: ['192.0.2.10'] }));
    assert.equal(KEY in taken(table).changed, false);
  });
});
