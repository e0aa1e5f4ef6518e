import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { EndpointSlice } from '../../../../cni/kube/endpoint-slice.ts';
import type { KubeService } from '../../../../cni/kube/service.ts';
import type { NodePlace } from '../../../../cni/services/choose-endpoints.ts';
import { NOTHING_FORBIDDEN, type Forbidden } from '../../../../cni/services/forbidden.ts';
import type { Frontend } from '../../../../cni/services/frontend.ts';
import { ServiceTable } from '../../../../cni/services/service-table.ts';
import {
  endpoint,
  forbidden,
  NOT_READY,
  PORT,
  refusals,
  service,
  show,
  slice,
  TERMINATING,
} from './values.ts';

/** Few addresses, so that Services, endpoints and ranges meet. */
const ADDRESSES = ['10.96.0.1', '10.96.0.2', '10.20.0.1', '192.0.2.5', 'fd00::1', '127.0.0.1', 'x'];
const NAMES = ['a', 'b', 'c'];
const address = fc.constantFrom(...ADDRESSES);
const addresses = fc.uniqueArray(address, { maxLength: 2 });
const PORTS = [PORT, { ...PORT, name: 'dns', protocol: 'UDP' as const }, { ...PORT, name: 'x', port: 0 }];

const services: fc.Arbitrary<KubeService> = fc
  .record({
    name: fc.constantFrom(...NAMES),
    clusterIPs: addresses,
    externalIPs: addresses,
    loadBalancerIPs: addresses,
    loadBalancerSourceRanges: fc.subarray(['203.0.113.0/24', 'x']),
    ports: fc.subarray(PORTS),
    affinitySeconds: fc.constantFrom(undefined, 60),
    internalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
  })
  .map(({ name, ...more }) => service(name, '', more));

const places = fc.constantFrom('a', 'b', undefined);
const hints = fc.constantFrom(undefined, ['a'], ['b']);
const endpoints = fc
  .record({
    at: address,
    state: fc.constantFrom({}, {}, TERMINATING, NOT_READY),
    nodeName: places,
    hintZones: hints,
    hintNodes: hints,
  })
  .map(({ at, state, ...more }) => endpoint(at, { ...state, ...more }));

const slices: fc.Arbitrary<EndpointSlice> = fc
  .record({
    service: fc.constantFrom(...NAMES, undefined),
    endpoints: fc.array(endpoints, { maxLength: 3 }),
    family: fc.constantFrom(4 as const, 6 as const, undefined),
    ports: fc.subarray([
      { name: 'http', protocol: 'TCP' as const, port: 8080 },
      { name: 'dns', protocol: 'UDP' as const, port: 53 },
      { name: 'http', protocol: 'TCP' as const, port: undefined },
    ]),
  })
  .map(({ service: owner, endpoints: list, ...more }) => slice(owner, list, more));

const nodes: fc.Arbitrary<NodePlace> = fc.record({ nodeName: fc.constantFrom('a', 'b'), zone: places });
const rules = fc
  .tuple(fc.subarray(['10.20.0.0/22', 'fd00::/64']), fc.subarray(['192.0.2.5', '10.96.0.1']))
  .map(([ranges, own]) => forbidden(ranges, own));

/** All that a table was told. */
interface World {
  services: Map<string, KubeService>;
  slices: Map<string, EndpointSlice>;
  node: NodePlace;
  forbidden: Forbidden;
}

/** Tells it to the table and to the world. */
type Event = (table: ServiceTable, world: World) => void;

const sliceKeys = fc.constantFrom('shop/s1', 'shop/s2', 'shop/s3', 'shop/s4');
const mapOf = <T>(values: readonly T[], keyOf: (value: T, i: number) => string): Map<string, T> =>
  new Map(values.map((value, i) => [keyOf(value, i), value]));
const keyOf = ({ name }: KubeService): string => `shop/${name}`;

const putService = services.map((value): Event => (table, world) => {
  table.putService(keyOf(value), value);
  world.services.set(keyOf(value), value);
});
const removeService = fc.constantFrom(...NAMES).map((name): Event => (table, world) => {
  table.removeService(`shop/${name}`);
  world.services.delete(`shop/${name}`);
});
const putSlice = fc.tuple(sliceKeys, slices).map(([key, value]): Event => (table, world) => {
  table.putSlice(key, value);
  world.slices.set(key, value);
});
const removeSlice = sliceKeys.map((key): Event => (table, world) => {
  table.removeSlice(key);
  world.slices.delete(key);
});
const replaceServices = fc.array(services, { maxLength: 3 }).map((values): Event => (table, world) => {
  world.services = mapOf(values, keyOf);
  table.replaceServices(new Map(world.services));
});
const replaceSlices = fc.array(slices, { maxLength: 3 }).map((values): Event => (table, world) => {
  world.slices = mapOf(values, (_, i) => `shop/s${i + 1}`);
  table.replaceSlices(new Map(world.slices));
});
const setNode = nodes.map((node): Event => (table, world) => {
  table.setNode(node);
  world.node = node;
});
const setForbidden = rules.map((value): Event => (table, world) => {
  table.setForbidden(value);
  world.forbidden = value;
});

const events = fc.oneof(
  { weight: 4, arbitrary: putService },
  { weight: 4, arbitrary: putSlice },
  removeService,
  removeSlice,
  replaceServices,
  replaceSlices,
  setNode,
  setForbidden,
);

const newWorld = (): World => ({
  services: new Map(),
  slices: new Map(),
  node: { nodeName: '', zone: undefined },
  forbidden: NOTHING_FORBIDDEN,
});

/** Returns a table that was told of the world in the order of the names, or in the reverse one. */
function tableOf(world: World, isReverse = false): ServiceTable {
  const table = new ServiceTable();
  const ordered = <T>(map: ReadonlyMap<string, T>): [string, T][] => {
    const sorted = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    return isReverse ? sorted.reverse() : sorted;
  };
  for (const [key, value] of ordered(world.slices)) table.putSlice(key, value);
  for (const [key, value] of ordered(world.services)) table.putService(key, value);
  table.setNode(world.node);
  table.setForbidden(world.forbidden);
  return table;
}

const sorted = (frontends: Iterable<readonly [string, Frontend]>): (readonly [string, Frontend])[] =>
  [...frontends].sort(([a], [b]) => (a < b ? -1 : 1));

/** Asserts that two tables do the same, and say the same. */
function assertSame(table: ServiceTable, other: ServiceTable): void {
  assert.deepEqual(sorted(table.all()), sorted(other.all()));
  assert.deepEqual(refusals(table), refusals(other));
  assert.deepEqual(table.counts(), other.counts());
  for (const name of NAMES) {
    const [view, expected] = [table, other].map((each) => each.find(`shop/${name}`));
    assert.deepEqual(view?.frontends, expected?.frontends);
  }
}

suite('random events', () => {
  test('leave the table as if it were new, and every change was told', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(events, fc.boolean()), { maxLength: 25 }), (story) => {
        const table = new ServiceTable();
        const world = newWorld();
        const bridge = new Map<string, Frontend>();
        const take = (): void => {
          const { changed, removed } = table.take();
          for (const key of removed) assert.ok(bridge.delete(key), `${key} was never told`);
          for (const [key, frontend] of changed) {
            assert.notDeepEqual(bridge.get(key), frontend);
            bridge.set(key, frontend);
          }
        };
        for (const [event, isTaken] of story) {
          event(table, world);
          if (isTaken) take();
        }
        take();
        assert.deepEqual(sorted(bridge), sorted(table.all()));
        assertSame(table, tableOf(world));
        assertSame(table, tableOf(world, true));
      }),
      { numRuns: 400 },
    );
  });

  test('every endpoint and address that is served may be', () => {
    fc.assert(
      fc.property(fc.array(events, { maxLength: 20 }), (story) => {
        const table = new ServiceTable();
        const world = newWorld();
        for (const event of story) event(table, world);
        for (const [, { address: at, endpoints: list }] of table.all()) {
          for (const each of [at, ...list.map((item) => item.address)])
            assert.notEqual(each.value, 0x7f000001n);
          for (const each of list) assert.equal(each.address.family, at.family);
          const keys = list.map((each) => `${each.address.value} ${each.port}`);
          assert.equal(new Set(keys).size, keys.length);
        }
      }),
    );
  });

  test('what one Service is refused changes nothing of the others', () => {
    const dns = service('dns', '10.96.0.10');
    const bad = service('bad', '10.96.0.77', {
      externalIPs: ['10.20.0.7', '127.0.0.1', 'x', '10.96.0.10'],
      loadBalancerIPs: ['192.0.2.9'],
      loadBalancerSourceRanges: ['y'],
      ports: [PORT, PORT, { ...PORT, port: -1 }],
    });
    fc.assert(
      fc.property(fc.array(events, { maxLength: 20 }), (story) => {
        const [table, other] = [new ServiceTable(), new ServiceTable()];
        for (const each of [table, other]) {
          for (const event of story) event(each, newWorld());
          each.setForbidden(forbidden(['10.20.0.0/22'], ['192.0.2.9']));
          each.putService('shop/dns', dns);
        }
        other.putService('shop/bad', bad);
        other.putSlice('shop/bad-1', slice('bad', ['127.0.0.1', 'x', '10.96.0.10', '10.20.0.7']));
        const ofOthers = [...other.all()].filter(([, frontend]) => frontend.service !== 'shop/bad');
        assert.deepEqual(sorted(ofOthers), sorted(table.all()));
        assert.deepEqual(
          refusals(other).filter((text) => !text.startsWith('shop/bad')),
          refusals(table),
        );
        const own = [...other.all()].filter(([, frontend]) => frontend.service === 'shop/bad');
        assert.deepEqual(
          own.map(([, frontend]) => show(frontend)),
          ['shop/bad cluster -> 10.20.0.7 8080'],
        );
      }),
    );
  });
});
