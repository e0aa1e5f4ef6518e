import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ServiceTable } from '../../../../cni/services/service-table.ts';
import type { ServiceView } from '../../../../cni/services/service-view.ts';
import {
  endpoint,
  endpointText,
  NOT_READY,
  PORT,
  refusalText,
  service,
  slice,
  TERMINATING,
} from './values.ts';

function tableWith(more = {}): ServiceTable {
  const table = new ServiceTable();
  table.setNode({ nodeName: 'node-1', zone: 'a' });
  table.putService('shop/web', service('web', '10.96.0.1', more));
  return table;
}

/** Shows each frontend of the view with its endpoints. */
const lines = ({ frontends }: ServiceView): string[] =>
  frontends.flatMap(({ frontend, takenBy, endpoints }) => [
    `${frontend.kind} ${frontend.portName} ${takenBy ?? 'own'}`,
    ...endpoints.map(
      ({ endpoint: each, state, chosen }) => `  ${endpointText(each)} ${state}${chosen ? ' chosen' : ''}`,
    ),
  ]);

function find(table: ServiceTable, name = 'shop/web'): ServiceView {
  const view = table.find(name);
  assert.ok(view);
  return view;
}

suite('what a node does with one Service', () => {
  test('a Service that nobody knows, with or without slices', () => {
    const table = tableWith();
    table.putSlice('shop/api-1', slice('api', ['10.20.0.1']));
    assert.deepEqual([table.find('shop/none'), table.find('shop/api')], [undefined, undefined]);
  });

  test('all endpoints with their states, and which are chosen', () => {
    const table = tableWith({ internalTrafficPolicy: 'Local', externalIPs: ['192.0.2.5'] });
    const endpoints = [
      endpoint('10.20.0.1', { nodeName: 'node-1' }),
      endpoint('10.20.0.2', { nodeName: 'node-2' }),
      endpoint('10.20.0.3', TERMINATING),
      endpoint('10.20.0.4', NOT_READY),
    ];
    table.putSlice('shop/web-1', slice('web', endpoints));
    const others = ['  10.20.0.3 8080 terminating', '  10.20.0.4 8080 not-ready'];
    assert.deepEqual(lines(find(table)), [
      'cluster http own',
      '  10.20.0.1 8080 ready chosen',
      '  10.20.0.2 8080 ready',
      ...others,
      'external http own',
      '  10.20.0.1 8080 ready chosen',
      '  10.20.0.2 8080 ready chosen',
      ...others,
    ]);
    assert.equal(find(table).notServed, undefined);
  });

  test('why an endpoint is not chosen, and which are of this node', () => {
    const told = (more: object, ...endpoints: Parameters<typeof endpoint>[]): unknown[] => {
      const table = tableWith(more);
      table.putSlice(
        'shop/web-1',
        slice(
          'web',
          endpoints.map((each) => endpoint(...each)),
        ),
      );
      const [frontend] = find(table).frontends;
      return (frontend?.endpoints ?? []).map(({ reason, local }) => [reason, local]);
    };
    const here = { nodeName: 'node-1' };
    const there = { nodeName: 'node-2' };
    assert.deepEqual(told({ internalTrafficPolicy: 'Local' }, ['10.20.0.1', here], ['10.20.0.2', there]), [
      [undefined, true],
      ['is on another node, and internalTrafficPolicy is Local', false],
    ]);
    assert.deepEqual(
      told({}, ['10.20.0.1', here], ['10.20.0.2', { ...there, ...TERMINATING }], ['10.20.0.3', NOT_READY]),
      [
        [undefined, true],
        ['ends, and others are ready', false],
        ['is not ready', false],
      ],
    );
    const hints = (zone: string): object => ({ hintZones: [zone] });
    assert.deepEqual(told({}, ['10.20.0.1', hints('a')], ['10.20.0.2', hints('b')]), [
      [undefined, false],
      ['topology hints lead to others', false],
    ]);
  });

  test('each port has its own endpoints', () => {
    const table = tableWith({ ports: [PORT, { ...PORT, name: 'dns', protocol: 'UDP', port: 53 }] });
    const ports = [{ name: 'dns', protocol: 'UDP' as const, port: 5353 }];
    table.putSlice('shop/web-1', slice('web', ['10.20.0.1'], { ports }));
    assert.deepEqual(lines(find(table)), [
      'cluster http own',
      'cluster dns own',
      '  10.20.0.1 5353 ready chosen',
    ]);
  });

  test('an address that another Service has, and all that is refused', () => {
    const table = tableWith({ externalIPs: ['192.0.2.5', '127.0.0.1'] });
    table.putService('shop/api', service('api', '10.96.0.2', { externalIPs: ['192.0.2.5', '127.0.0.1'] }));
    const view = find(table);
    assert.deepEqual(lines(view), ['cluster http own', 'external http shop/api']);
    assert.deepEqual(view.refusals.map(refusalText), [
      'shop/web: the external IP 127.0.0.1 is a loopback address',
      'shop/web: TCP port 80 of the external IP 192.0.2.5 is served for shop/api, which has it as the external IP 192.0.2.5',
    ]);
  });

  test('why a Service has no virtual address', () => {
    const view = find(tableWith({ clusterIPs: [] }));
    assert.deepEqual([view.notServed, view.frontends], ['has no cluster IP (headless)', []]);
  });
});
