import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../../../ipam/model/address.ts';
import { chooseEndpoints, type NodePlace, type Scope } from '../../../../cni/services/choose-endpoints.ts';
import type { KnownEndpoint } from '../../../../cni/services/known-endpoints.ts';

interface Traits {
  readonly state?: KnownEndpoint['state'];
  readonly node?: string;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

const known = (n: number, { state = 'ready', node, zones = [], nodes = [] }: Traits = {}): KnownEndpoint => ({
  endpoint: { address: parseAddress(`10.20.0.${n}`), port: 8080, nodeName: node, podUid: undefined },
  state,
  hintZones: zones,
  hintNodes: nodes,
});

const HERE: NodePlace = { nodeName: 'node-1', zone: 'a' };

/** Returns the last numbers of the chosen addresses. */
const choose = (all: readonly KnownEndpoint[], node = HERE, scope: Scope = 'cluster'): number[] =>
  chooseEndpoints(all, node, scope).map(({ address }) => Number(address.value & 255n));

suite('endpoints by their conditions', () => {
  test('ready ones, wherever they are', () => {
    const all = [known(1, { node: 'node-1' }), known(2, { node: 'node-2' }), known(3)];
    assert.deepEqual(choose(all), [1, 2, 3]);
  });

  test('as long as one is ready, none that ends or is not ready', () => {
    const all = [known(1, { state: 'terminating' }), known(2), known(3, { state: 'not-ready' })];
    assert.deepEqual(choose(all), [2]);
  });

  test('none ready: those that end and still serve', () => {
    assert.deepEqual(choose([known(1, { state: 'terminating' }), known(2, { state: 'not-ready' })]), [1]);
  });

  test('neither: none', () => {
    assert.deepEqual(choose([known(1, { state: 'not-ready' })]), []);
    assert.deepEqual(choose([]), []);
  });
});

suite('endpoints of this node only (internalTrafficPolicy Local)', () => {
  const local = (all: readonly KnownEndpoint[], node = HERE): number[] => choose(all, node, 'node');

  test('the ready ones of this node', () => {
    assert.deepEqual(local([known(1, { node: 'node-1' }), known(2, { node: 'node-2' }), known(3)]), [1]);
  });

  test('none ready here: those that end here, although others are ready elsewhere', () => {
    const all = [known(1, { node: 'node-1', state: 'terminating' }), known(2, { node: 'node-2' })];
    assert.deepEqual(local(all), [1]);
  });

  test('none here: none', () => {
    assert.deepEqual(local([known(2, { node: 'node-2' })]), []);
  });

  test('hints do not matter', () => {
    const all = [known(1, { node: 'node-1', zones: ['b'] }), known(2, { node: 'node-1', zones: ['a'] })];
    assert.deepEqual(local(all), [1, 2]);
  });
});

suite('endpoints by hints', () => {
  const a = known(1, { zones: ['a'] });
  const b = known(2, { zones: ['b'] });

  test('those for this zone', () => {
    assert.deepEqual(choose([a, b, known(3, { zones: ['b', 'a'] })]), [1, 3]);
  });

  test('a ready one without a hint: all', () => {
    assert.deepEqual(choose([a, b, known(3)]), [1, 2, 3]);
  });

  test('one without a hint that is not ready changes nothing', () => {
    assert.deepEqual(choose([a, b, known(3, { state: 'terminating' })]), [1]);
  });

  test('none for this zone: all', () => {
    assert.deepEqual(choose([a, b], { nodeName: 'node-1', zone: 'c' }), [1, 2]);
  });

  test('a hint for this zone at an endpoint that is not ready is none', () => {
    assert.deepEqual(choose([known(1, { zones: ['a'], state: 'terminating' }), b]), [2]);
  });

  test('a node whose zone is unknown: all', () => {
    assert.deepEqual(choose([a, b], { nodeName: 'node-1', zone: undefined }), [1, 2]);
    assert.deepEqual(choose([a, b], { nodeName: 'node-1', zone: '' }), [1, 2]);
  });

  test('hints for nodes come before those for zones', () => {
    const all = [
      known(1, { zones: ['a'], nodes: ['node-2'] }),
      known(2, { zones: ['b'], nodes: ['node-1'] }),
    ];
    assert.deepEqual(choose(all), [2]);
  });

  test('none for this node, or one without a hint for a node: those for the zone', () => {
    const elsewhere = known(1, { zones: ['a'], nodes: ['node-2'] });
    const inOtherZone = known(2, { zones: ['b'], nodes: ['node-3'] });
    assert.deepEqual(choose([elsewhere, inOtherZone]), [1]);
    assert.deepEqual(choose([elsewhere, known(2, { zones: ['b'] })]), [1]);
  });

  test('hints for nodes need no zone', () => {
    const all = [known(1, { nodes: ['node-1'] }), known(2, { nodes: ['node-2'] })];
    assert.deepEqual(choose(all, { nodeName: 'node-1', zone: undefined }), [1]);
  });

  test('none is ready: hints of those that end do not matter', () => {
    const all = [a, b].map((each): KnownEndpoint => ({ ...each, state: 'terminating' }));
    assert.deepEqual(choose(all), [1, 2]);
  });
});

test('nobody is without an endpoint while one is ready, and no chosen one is worse than one left out', () => {
  const names = fc.subarray(['a', 'b']);
  const traits = fc.record({
    state: fc.constantFrom('ready' as const, 'terminating' as const, 'not-ready' as const),
    node: fc.constantFrom('a', 'b', undefined),
    zones: names,
    nodes: names,
  });
  fc.assert(
    fc.property(
      fc.array(traits, { maxLength: 6 }),
      fc.constantFrom('a', 'b', 'c', undefined),
      (all, zone) => {
        const endpoints = all.map(({ node, ...rest }, i) => known(i, { ...rest, ...(node && { node }) }));
        const chosen = choose(endpoints, { nodeName: 'a', zone });
        const ready = endpoints.flatMap(({ state }, i) => (state === 'ready' ? [i] : []));
        const ending = endpoints.flatMap(({ state }, i) => (state === 'terminating' ? [i] : []));
        if (ready.length === 0) assert.deepEqual(chosen, ending);
        else assert.ok(chosen.length > 0 && chosen.every((i) => ready.includes(i)));
      },
    ),
  );
});
