import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, releaseSlot, takeSlot } from '../../../ipam/model/block.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey, cidrTextOf, nodeKey, rangeKey } from '../../../ipam/records/keys.ts';
import { decodeNodeEntry, encodeNodeEntry } from '../../../ipam/records/node-record.ts';
import { quickBlock } from '../../../ipam/records/quick-block.ts';
import { decodeRange, encodeRange } from '../../../ipam/records/range-record.ts';
import { DEL, owner, range } from './world.ts';

const blue = makeRange({
  cidr: parseCidr('10.20.0.0/22'),
  name: 'blue',
  gateway: parseAddress('10.20.0.1'),
  vlan: 120,
  exclude: [{ first: parseAddress('10.20.0.2'), last: parseAddress('10.20.0.9') }],
  routes: [
    { destination: parseCidr('10.96.0.0/12'), via: parseAddress('10.20.0.10') },
    { destination: parseCidr('10.112.0.0/12') },
  ],
});

suite('records', () => {
  test('ranges come back as they were written', () => {
    for (const each of [blue, range('fd00:20::/64'), { ...blue, state: 'draining' as const }]) {
      assert.deepEqual(decodeRange(rangeKey(each.name), encodeRange(each)), each);
    }
  });

  test('a range with two routes to one destination can no longer be added, but is still read', () => {
    const old = { ...blue, routes: [...blue.routes, { destination: parseCidr('10.96.0.0/12') }] };
    assert.deepEqual(decodeRange(rangeKey('blue'), encodeRange(old)), old);
  });

  test('blocks come back as they were written, whatever their slots', () => {
    const empty = newBlock(blue, parseCidr('10.20.0.0/28'), 'node-1', 1_700_000_000_123);
    const one = takeSlot(
      empty,
      11,
      owner('a', { podNamespace: 'default', podName: 'web-1', podUid: 'u-1' }),
      1_700_000_000_456,
    );
    const two = takeSlot(one.block, 12, owner('b'), 1_700_000_000_789);
    const released = releaseSlot(
      two.block,
      parseAddress('10.20.0.12'),
      { containerId: 'b', ifname: 'eth0', sequence: 2 },
      1_700_000_001_000,
      DEL,
    );
    assert.ok(released.outcome === 'released');
    for (const block of [empty, one.block, released.block]) {
      assert.deepEqual(decodeBlock('blocks/blue/10.20.0.0/28', encodeBlock(block)), block);
    }
  });

  test('a full block stays small: the unit of write', () => {
    let block = newBlock(range('10.20.0.0/22'), parseCidr('10.20.0.16/28'), 'node-0123456789.example.org', 0);
    const id = 'f'.repeat(64);
    for (let i = 0; i < 16; i++) {
      const uid = '01234567-89ab-cdef-0123-456789abcdef';
      block = takeSlot(
        block,
        i,
        owner(`${i}${id}`.slice(0, 64), {
          podNamespace: 'n'.repeat(20),
          podName: 'p'.repeat(40),
          podUid: uid,
          bootId: uid,
        }),
        0,
      ).block;
    }
    assert.ok(encodeBlock(block).length < 8192, `${encodeBlock(block).length} bytes`);
  });

  test('keys hold the subnet as it is', () => {
    const key = blockKey('blue', parseCidr('fd00::10/124'));
    assert.equal(key, 'blocks/blue/fd00::10/124');
    assert.equal(cidrTextOf(key), 'fd00::10/124');
    assert.equal(nodeKey('n1', parseCidr('10.20.0.16/28')), 'nodes/n1/10.20.0.16/28');
    assert.deepEqual(
      decodeNodeEntry('nodes/n1/10.20.0.16/28', encodeNodeEntry({ range: 'blue', claimedAt: 5 })),
      { range: 'blue', cidr: parseCidr('10.20.0.16/28'), claimedAt: 5 },
    );
  });

  const good = JSON.parse(encodeRange(blue)) as Record<string, unknown>;
  const cases: [what: string, value: string, message: RegExp][] = [
    ['no JSON', '{"v":1', /etcd key 'ranges\/blue' holds no JSON: "\{\\"v\\":1"/],
    [
      'a later schema',
      JSON.stringify({ ...good, v: 9 }),
      /etcd key 'ranges\/blue' was written by a newer cellnet: its version is 9, and this one reads 2/,
    ],
    ['a missing field', JSON.stringify({ ...good, cidr: undefined }), /key 'cidr' is missing/],
    ['a wrong type', JSON.stringify({ ...good, vlan: 'x' }), /key 'vlan' is "x"/],
    [
      'host bits',
      JSON.stringify({ ...good, cidr: '10.20.0.1/22' }),
      /etcd key 'ranges\/blue': cidr '10\.20\.0\.1\/22' has host bits/,
    ],
    ['an unknown state', JSON.stringify({ ...good, state: 'gone' }), /key 'state' is "gone"/],
  ];
  for (const [what, value, message] of cases) {
    test(`refused: ${what}`, () =>
      assert.throws(() => decodeRange('ranges/blue', value), { code: 'corrupt-record', message }));
  }

  test('refused: a slot of an unknown state', () => {
    const block = JSON.parse(encodeBlock(newBlock(blue, parseCidr('10.20.0.0/28'), 'n', 0))) as {
      slots: unknown[];
    };
    block.slots[3] = { state: 'lost' };
    assert.throws(() => decodeBlock('blocks/blue/x', JSON.stringify(block)), {
      code: 'corrupt-record',
      message: /slots\.3/,
    });
  });
});

suite('values of a block that would not come back as they are, or lead elsewhere', () => {
  const key = 'blocks/blue/10.20.0.0/28';
  const cidr = parseCidr('10.20.0.0/28');
  const fresh = newBlock(blue, cidr, 'n', 0);
  const { block } = takeSlot(fresh, 11, owner('c'), 0);
  type Json = Record<string, unknown>;
  /** Returns the block's value after a change of it, or of its only used slot. */
  const changed = (change: (value: Json, slot: Json & { owner: Json }) => void): string => {
    const value = JSON.parse(encodeBlock(block)) as Json & { slots: (Json & { owner: Json })[] };
    change(value, value.slots[11] as Json & { owner: Json });
    return JSON.stringify(value);
  };
  const refused: [string, string, RegExp][] = [
    ...[1e300, 2 ** 53, 2 ** 52 + 1, 1.5, -1].map((sequence): [string, string, RegExp] => [
      `sequence ${sequence}`,
      changed((value) => (value['sequence'] = sequence)),
      /key 'sequence' is .*: expected a whole number from 0 to 2\^52/,
    ]),
    ['a sequence of a slot', changed((_, slot) => (slot['sequence'] = 1e300)), /slots\.11/],
    ...[
      '2026-02-31T00:00:00.000Z',
      '1969-12-31T23:59:59.999Z',
      '0001-01-01T00:00:00.000Z',
      '9999-12-31T23:59:59-14:00',
    ].map((time): [string, string, RegExp] => [
      time,
      changed((value) => (value['claimedAt'] = time)),
      /key 'claimedAt' is .*: expected a time from 1970 to 9999/,
    ]),
    ...['../../etc/passwd', 'a/b', '..', '', 'c'.repeat(256), 'a b'].map((id): [string, string, RegExp] => [
      `container ${JSON.stringify(id.slice(0, 20))}`,
      changed((_, slot) => (slot.owner['containerId'] = id)),
      /slots\.11/,
    ]),
    ...['../x', '.', 'sixteen-bytes-xx', 'a:b'].map((name): [string, string, RegExp] => [
      `interface ${name}`,
      changed((_, slot) => (slot.owner['ifname'] = name)),
      /slots\.11/,
    ]),
  ];
  for (const [what, value, message] of refused) {
    test(`refused: ${what}`, () => {
      assert.throws(() => decodeBlock(key, value), { code: 'corrupt-record', message });
      assert.equal(quickBlock(key, value), undefined);
    });
  }

  test('the largest sequence is read, and an increment of it is exact', () => {
    const value = changed((record) => (record['sequence'] = 2 ** 52));
    assert.deepEqual(quickBlock(key, value), decodeBlock(key, value));
    const { block: next } = takeSlot(decodeBlock(key, value), 12, owner('d'), 0);
    assert.equal(BigInt(next.sequence), 2n ** 52n + 1n);
  });

  test('the last time that is read is written as it was', () => {
    const time = '9999-12-31T23:59:59.999Z';
    const value = changed((record) => (record['claimedAt'] = time));
    assert.equal((JSON.parse(encodeBlock(decodeBlock(key, value))) as Json)['claimedAt'], time);
  });
});

suite('fields that a later release has added', () => {
  type Json = Record<string, unknown>;
  const later = { colour: 'red', nested: { deep: [1, null] } };

  test('of a range and its routes come back, also when its state is changed', () => {
    const record = JSON.parse(encodeRange(blue)) as Json & { routes: Json[] };
    const written = { ...record, ...later, routes: record.routes.map((route) => ({ ...route, metric: 7 })) };
    const read = decodeRange('ranges/blue', JSON.stringify(written));
    assert.deepEqual(JSON.parse(encodeRange(read)), written);
    const drained = JSON.parse(encodeRange({ ...read, state: 'draining' })) as Json;
    assert.deepEqual(drained, { ...written, state: 'draining' });
  });

  test('of a block, its slots and their owners come back, also when another slot is given and one released', () => {
    const key = 'blocks/blue/10.20.0.16/28';
    const empty = newBlock(blue, parseCidr('10.20.0.16/28'), 'node-1', 1_700_000_000_123);
    const one = takeSlot(empty, 3, owner('a'), 1_700_000_000_456).block;
    const two = takeSlot(one, 4, owner('b'), 1_700_000_000_789).block;
    const expected = { containerId: 'b', ifname: 'eth0', sequence: 2 };
    const outcome = releaseSlot(two, parseAddress('10.20.0.20'), expected, 1_700_000_001_000, DEL);
    assert.ok(outcome.outcome === 'released');
    const record = JSON.parse(encodeBlock(outcome.block)) as Json & { slots: (Json | string | null)[] };
    const slots = record.slots.map((slot) => {
      if (slot === null || typeof slot === 'string') return slot;
      return slot['owner']
        ? { ...slot, ...later, owner: { ...(slot['owner'] as Json), zone: 'z' } }
        : { ...slot, ...later };
    });
    const written = { ...record, ...later, slots };
    const read = decodeBlock(key, JSON.stringify(written));
    assert.deepEqual(JSON.parse(encodeBlock(read)), written);

    const given = JSON.parse(
      encodeBlock(takeSlot(read, 5, owner('c'), 1_700_000_002_000).block),
    ) as typeof written;
    assert.equal(given['colour'], 'red');
    assert.deepEqual(given.slots[3], slots[3]);
    assert.deepEqual(given.slots[4], slots[4]);
    const own = { containerId: 'a', ifname: 'eth0', sequence: 1 };
    const freed = releaseSlot(read, parseAddress('10.20.0.19'), own, 1_700_000_003_000, DEL);
    assert.ok(freed.outcome === 'released');
    // The unknown fields of the owner move to the history. The freed slot is new and keeps none.
    assert.deepEqual(freed.lifetime.owner.unknownFields, { zone: 'z' });
    const rest = JSON.parse(encodeBlock(freed.block)) as typeof written;
    assert.deepEqual(rest['nested'], later.nested);
    assert.equal((rest.slots[3] as Json)['colour'], undefined);
  });

  test('a later version is refused: it says that it must not be misread', () => {
    for (const [key, decode, value] of [
      ['ranges/blue', decodeRange, encodeRange(blue)],
      ['nodes/n1/10.20.0.16/28', decodeNodeEntry, encodeNodeEntry({ range: 'blue', claimedAt: 5 })],
    ] as const) {
      const text = JSON.stringify({ ...(JSON.parse(value) as Json), v: 9, colour: 'red' });
      const message = /was written by a newer cellnet: its version is 9/;
      assert.throws(() => decode(key, text), { code: 'corrupt-record', message });
    }
  });
});
