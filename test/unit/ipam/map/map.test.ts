import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { KnownState, type KnownRecord } from '../../../../ipam/events/state.ts';
import { blockCounts, cellOf, CELL_STATES, countCells, cellsOf } from '../../../../ipam/map/cells.ts';
import { addressAt, blockRows, mapSource, overviewOf, type MapSource } from '../../../../ipam/map/map.ts';
import { MapForecasts } from '../../../../ipam/map/forecasts.ts';
import { searchMap } from '../../../../ipam/map/search.ts';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../../ipam/model/address.ts';
import { newBlock, SET_ASIDE_MS, takeSlot, type Block, type Slot } from '../../../../ipam/model/block.ts';
import type { Range } from '../../../../ipam/model/range.ts';
import { listRangeUsage } from '../../../../ipam/query/range-usage.ts';
import { encodeBlock } from '../../../../ipam/records/block-record.ts';
import { encodeRange } from '../../../../ipam/records/range-record.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { blockKey, rangeKey } from '../../../../ipam/records/keys.ts';
import { rule } from '../../../support/rule.ts';
import { owner, range, World } from '../world.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const COOLDOWN = 30_000;
const blue = range('10.20.0.0/24', { name: 'blue', gateway: '10.20.0.1' });
const red = range('10.30.0.0/27', { name: 'red' });
const podOf = (name: string) => ({ podNamespace: 'shop', podName: name, podUid: `uid-${name}` });

/** Returns a block with these slots behind those that are reserved. */
function block(of: Range, cidr: string, node: string, slots: readonly Slot[]): Block {
  const fresh = newBlock(of, parseCidr(cidr), node, NOW);
  const first = fresh.slots.findIndex(({ state }) => state === 'free');
  return slots.reduce((made, slot, i) => ({ ...made, slots: made.slots.with(first + i, slot) }), fresh);
}

const used = (name: string, container = `container-${name}`): Slot => ({
  ...{ state: 'used', owner: owner(container, podOf(name)), allocatedAt: NOW - 5_000, sequence: 1 },
});
const released = (ago: number, conflictMac?: string): Slot => ({
  ...{ state: 'released', releasedAt: NOW - ago, sequence: 2 },
  ...(conflictMac !== undefined && { conflictMac }),
});
const kept = (ago: number, forMs?: number): Slot => ({
  state: 'kept',
  pod: { namespace: 'shop', name: 'db-0', ifname: 'eth0' },
  keep: { rule: 'db', since: NOW - ago, ...(forMs !== undefined && { forMs }) },
  keptAt: NOW - ago,
  sequence: 3,
});

function sourceOf(
  ranges: readonly Range[],
  blocks: readonly Block[],
  broken: readonly string[] = [],
): MapSource {
  const records = new Map<string, KnownRecord>();
  for (const each of ranges)
    records.set(rangeKey(each.name), { revision: 1, known: { kind: 'range', range: each } });
  for (const each of blocks)
    records.set(blockKey(each.range, each.cidr), { revision: 2, known: { kind: 'block', block: each } });
  for (const key of broken) records.set(key, { revision: 3, known: undefined });
  records.set('rules/web', { revision: 4, known: { kind: 'rule', rule: rule('web') } });
  return mapSource(new KnownState(4, records));
}

const source = sourceOf(
  [red, blue],
  [
    block(blue, '10.20.0.32/28', 'node-2', [
      used('web-2'),
      released(1_000),
      released(1_000, '02:00:00:00:00:01'),
    ]),
    block(blue, '10.20.0.0/28', 'node-1', [used('web-1'), kept(1_000, 60_000), kept(40_000, 20_000)]),
    block(blue, '10.20.0.48/28', 'rule:web', [used('api', 'deadbeef0123')]),
    block(red, '10.30.0.0/28', 'node-1', [used('cart-7')]),
  ],
  ['blocks/blue/10.20.0.64/28', 'ranges/green'],
);

const text = (name: string): string =>
  searchMap(source, name, NOW, 20)
    .map((each) => `${each.kind} ${each.text}`)
    .join(', ');

test('the usage that forecasts are made of is the one of range list', async () => {
  const world = new World();
  world.now = NOW;
  const slots = [used('web-1'), released(1_000), released(1_000, '02:00:00:00:00:01'), kept(1_000, 60_000)];
  const one = { ...block(blue, '10.20.0.32/28', 'node-2', slots), sequence: 9 };
  const sound = {
    ...one,
    slots: one.slots.map((slot, i) => (slot.state === 'free' ? slot : { ...slot, sequence: i + 1 })),
  };
  const hidden = 'blocks/blue/10.20.0.64/28';
  for (const [key, value] of [
    [rangeKey('blue'), encodeRange(blue)],
    [rangeKey('red'), encodeRange(red)],
    [blockKey('blue', sound.cidr), encodeBlock(sound)],
    [hidden, '{'],
  ] as const)
    await world.store.commit([], [put(key, value)]);
  const records = sourceOf([red, blue], [sound], [hidden]);
  const { usages } = await listRangeUsage(world.ipam);
  let asked: unknown;
  const forecasts = new MapForecasts({
    source: () => records,
    now: () => NOW,
    read: (given) => {
      asked = given;
      return Promise.reject(new Error('no samples'));
    },
  });
  await assert.rejects(forecasts.refresh(), /no samples/);
  assert.deepEqual(asked, usages);
  assert.equal(usages[0]?.cooling, 2);
  assert.equal(forecasts.current, undefined);
});

suite('the map of addresses', () => {
  test('a cell tells what an address is at that time', () => {
    const at = (slot: Slot): string => cellOf(slot, NOW, COOLDOWN);
    assert.equal(at({ state: 'free' }), 'free');
    assert.equal(at({ state: 'reserved' }), 'reserved');
    assert.equal(at(used('web-1')), 'used');
    assert.equal(at(released(COOLDOWN - 1)), 'cooling');
    assert.equal(at(released(COOLDOWN)), 'free');
    assert.equal(at(released(COOLDOWN, '02:00:00:00:00:01')), 'conflict');
    assert.equal(at(released(SET_ASIDE_MS, '02:00:00:00:00:01')), 'free');
    assert.equal(at(kept(1_000_000)), 'kept');
    assert.equal(at(kept(19_999, 20_000)), 'kept');
    assert.equal(at(kept(20_000, 20_000)), 'cooling');
    assert.equal(at(kept(COOLDOWN, 20_000)), 'free');
  });

  test('counts that are kept are those that are counted, at every time', () => {
    const time = fc.integer({ min: -50_000, max: 50_000 });
    const slot = fc.oneof(
      time.map((ago) => released(ago)),
      time.map((ago) => released(ago * 100, '02:00:00:00:00:01')),
      fc
        .tuple(time, fc.option(fc.integer({ min: 1_000, max: 40_000 }), { nil: undefined }))
        .map(([ago, ms]) => kept(ago, ms)),
    );
    fc.assert(
      fc.property(
        fc.array(slot, { maxLength: 4 }),
        fc.array(time, { minLength: 2, maxLength: 12 }),
        (slots, times) => {
          const one = block(blue, '10.20.0.16/28', 'node-1', slots);
          for (const ms of times)
            assert.deepEqual(
              blockCounts(one, NOW + ms, COOLDOWN),
              countCells(cellsOf(one, NOW + ms, COOLDOWN)),
            );
        },
      ),
    );
  });

  test('the overview counts every address once', () => {
    const [first, second] = overviewOf(source, NOW);
    assert.equal(first?.range.name, 'blue');
    assert.deepEqual(first.counts, {
      ...{ used: 3, cooling: 1, kept: 1, conflict: 1, reserved: 3, unknown: 16, free: 231 },
    });
    assert.equal(
      CELL_STATES.reduce((sum, state) => sum + first.counts[state], 0),
      256,
    );
    assert.deepEqual(first.blocks, { total: 16, claimed: 4 });
    assert.equal(first.holders, 3);
    assert.equal(first.capacity, 253);
    assert.deepEqual([second?.counts.used, second?.counts.free], [1, 29]);
    assert.equal(overviewOf(source, NOW + COOLDOWN)[0]?.counts.cooling, 0);
  });

  test('a range is all its blocks, claimed or not, in the order of their addresses', () => {
    const { rows = [], hidden } = blockRows(source, 'blue', NOW) ?? {};
    assert.equal(hidden, 0);
    assert.equal(rows.length, 16);
    assert.deepEqual(
      rows.slice(0, 6).map(({ cidr, holder }) => `${formatCidr(cidr)} ${holder ?? '-'}`),
      [
        '10.20.0.0/28 node-1',
        '10.20.0.16/28 -',
        '10.20.0.32/28 node-2',
        '10.20.0.48/28 rule:web',
        '10.20.0.64/28 -',
        '10.20.0.80/28 -',
      ],
    );
    assert.deepEqual(rows[0]?.cells.slice(0, 6), ['reserved', 'reserved', 'used', 'kept', 'free', 'free']);
    assert.equal(rows[4]?.counts.unknown, 16);
    assert.equal(rows[15]?.cells.at(-1), 'reserved');
    assert.equal(blockRows(source, 'green', NOW), undefined);
    const sums = countCells(rows.flatMap(({ cells }) => cells));
    assert.deepEqual(sums, overviewOf(source, NOW)[0]?.counts);
  });

  test('a range of IPv6 shows its claimed blocks, and how many others there are', () => {
    const six = range('fd00:20::/64', { name: 'six' });
    const some = sourceOf([six], [block(six, 'fd00:20::40/124', 'node-1', [used('web-1')])]);
    const { rows = [], hidden } = blockRows(some, 'six', NOW) ?? {};
    assert.deepEqual(
      rows.map(({ cidr }) => formatCidr(cidr)),
      ['fd00:20::40/124'],
    );
    assert.equal(hidden, 2 ** 60 - 1);
  });

  test('an address tells its block, holder, node and why it is reserved', () => {
    const at = (ip: string) => addressAt(source, parseAddress(ip), NOW);
    const web = at('10.20.0.2');
    assert.deepEqual([web?.state, web?.holder, web?.node], ['used', 'node-1', 'node-1']);
    assert.equal(web?.slot?.state === 'used' && web.slot.owner.podName, 'web-1');
    assert.deepEqual([at('10.20.0.1')?.state, at('10.20.0.1')?.reservedAs], ['reserved', 'gateway']);
    assert.deepEqual([at('10.20.0.16')?.state, at('10.20.0.16')?.holder], ['free', undefined]);
    assert.equal(at('10.20.0.255')?.reservedAs, 'broadcast');
    assert.equal(at('10.20.0.70')?.state, 'unknown');
    assert.equal(at('10.20.0.34')?.state, 'conflict');
    assert.equal(at('10.99.0.1'), undefined);
  });

  test('what came later is not in what was taken before', () => {
    const state = new KnownState(
      1,
      new Map([[rangeKey('red'), { revision: 1, known: { kind: 'range', range: red } }]]),
    );
    const before = mapSource(state);
    const taken = takeSlot(
      newBlock(red, parseCidr('10.30.0.0/28'), 'node-1', NOW),
      1,
      owner('c1'),
      NOW,
    ).block;
    state.become(
      new KnownState(
        2,
        new Map([[blockKey('red', taken.cidr), { revision: 2, known: { kind: 'block', block: taken } }]]),
      ),
    );
    assert.equal(overviewOf(before, NOW)[0]?.counts.used, 0);
  });
});

suite('search on the map', () => {
  test('addresses, subnets and MACs', () => {
    assert.equal(text('10.20.0.2'), 'address 10.20.0.2');
    assert.equal(text('0a:58:0a:14:00:02'), 'address 10.20.0.2');
    assert.equal(text('10.20.0.48/28'), 'block 10.20.0.48/28, range blue');
    assert.equal(text('10.30.'), 'block 10.30.0.0/28, range red');
    assert.equal(text('10.30.0.0/27'), 'range red, block 10.30.0.0/28');
    assert.equal(text('10.99.0.1'), '');
    assert.equal(searchMap(source, '10.20.0.34', NOW, 9)[0]?.state, 'conflict');
  });

  test('pods by their name, or a part of it, the nearest first', () => {
    assert.equal(text('shop/web-1'), 'pod shop/web-1');
    assert.equal(text('Web-'), 'pod shop/web-1, pod shop/web-2');
    assert.equal(text('art-'), 'pod shop/cart-7');
    assert.equal(text('db-0'), 'pod shop/db-0');
    assert.equal(text('deadbeef'), 'pod shop/api');
    const [found] = searchMap(source, 'web-2', NOW, 1);
    assert.deepEqual(
      [found?.address && formatAddress(found.address), found?.range, found?.fit],
      ['10.20.0.32', 'blue', 0],
    );
  });

  test('nodes, rules, namespaces and ranges, with how much they have', () => {
    assert.deepEqual(
      searchMap(source, 'node-1', NOW, 9).map(({ kind, text: name, addresses, blocks }) => ({
        kind,
        name,
        addresses,
        blocks,
      })),
      [{ kind: 'node', name: 'node-1', addresses: 2, blocks: 2 }],
    );
    assert.equal(text('web'), 'rule web, pod shop/web-1, pod shop/web-2');
    assert.equal(searchMap(source, 'shop', NOW, 9)[0]?.addresses, 6);
    assert.equal(text('bl'), 'range blue');
  });

  test('a word before a colon asks for all addresses of it', () => {
    assert.equal(text('node:node-1'), 'node node-1, pod shop/web-1, pod shop/cart-7');
    assert.equal(text('rule:web'), 'rule web, pod shop/api');
    assert.equal(text('ns:shop').split(', ').length, 6);
    assert.equal(text('pod:shop'), '');
    assert.equal(text('range:red'), 'range red');
  });

  test('as many as are asked for', () => {
    assert.equal(searchMap(source, 'o', NOW, 2).length, 2);
    assert.deepEqual(searchMap(source, '  ', NOW, 2), []);
  });
});
