import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, parseCidr } from '../../../ipam/address.ts';
import { newBlock, releaseSlot, takeSlot } from '../../../ipam/block.ts';
import { makeRange } from '../../../ipam/new-range.ts';
import {
  blockKey,
  cidrTextOfBlockKey,
  decodeBlock,
  decodeNodeEntry,
  decodeRange,
  encodeBlock,
  encodeNodeEntry,
  encodeRange,
  nodeKey,
  rangeKey,
} from '../../../ipam/records.ts';
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
    assert.equal(cidrTextOfBlockKey(key), 'fd00::10/124');
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
      JSON.stringify({ ...good, v: 2 }),
      /etcd key 'ranges\/blue': key 'v' is 2: expected 1/,
    ],
    [
      'an unknown field',
      JSON.stringify({ ...good, colour: 'red' }),
      /unknown key 'colour': expected one of v, name, cidr/,
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
