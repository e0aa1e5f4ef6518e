import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { newBlock } from '../../../ipam/model/block.ts';
import { RELEASE_REASONS, type Lifetime, type ReleaseCause } from '../../../ipam/model/lifetime.ts';
import { blockAt, pickBlock } from '../../../ipam/model/range.ts';
import {
  decodeLifetime,
  historyKeys,
  historyOfBlock,
  lifetimesKept,
  recordLifetime,
} from '../../../ipam/records/history-record.ts';
import { BLUE } from './history-world.ts';
import { DEL, owner, range, World } from './world.ts';

suite('the record of a lifetime', () => {
  const causes: fc.Arbitrary<ReleaseCause> = fc.oneof(
    fc.record(
      {
        why: fc.constantFrom(...RELEASE_REASONS.filter((why) => why !== 'conflict')),
        detail: fc.string({ minLength: 1 }),
        by: fc.string({ minLength: 1 }),
      },
      { requiredKeys: ['why'], noNullPrototype: true },
    ),
    fc.constant({ why: 'conflict' as const, conflictMac: '02:00:00:00:00:99' }),
  );
  const lifetimes: fc.Arbitrary<Lifetime> = fc.record(
    {
      address: fc.nat(255).map((n) => parseAddress(`10.20.0.${n}`)),
      node: fc.string({ minLength: 1 }),
      owner: fc.record(
        {
          containerId: fc.string({ minLength: 1 }),
          ifname: fc.string({ minLength: 1 }),
          network: fc.string({ minLength: 1 }),
          podNamespace: fc.string({ minLength: 1 }),
          podName: fc.string({ minLength: 1 }),
          podUid: fc.string({ minLength: 1 }),
        },
        { requiredKeys: ['containerId', 'ifname', 'network'], noNullPrototype: true },
      ),
      allocatedAt: fc.nat(2e12),
      releasedAt: fc.nat(2e12),
      cause: causes,
    },
    { noNullPrototype: true },
  );
  const written = (lifetime: Lifetime, sequence = 2): { key: string; value: string } =>
    recordLifetime(BLUE, newBlock(BLUE, blockAt(BLUE, lifetime.address), 'n', 0, sequence), lifetime);

  test('is read as it was written, below its block, at a place of the ring', () => {
    fc.assert(
      fc.property(lifetimes, fc.nat(1e6), (lifetime, sequence) => {
        const { key, value } = written(lifetime, sequence);
        assert.ok(historyKeys(BLUE, blockAt(BLUE, lifetime.address)).includes(key), key);
        assert.deepEqual(decodeLifetime(BLUE, key, value), lifetime);
      }),
    );
  });

  const sample: Lifetime = {
    address: parseAddress('10.20.0.17'),
    node: 'node-1',
    owner: owner('c'),
    allocatedAt: 0,
    releasedAt: 1,
    cause: DEL,
  };

  test('does not hold what only the living need', () => {
    assert.equal(
      written(sample).value,
      '{"v":1,"ip":"10.20.0.17","node":"node-1","owner":{"containerId":"c","ifname":"eth0","network":"cell"},' +
        '"allocatedAt":"1970-01-01T00:00:00.000Z","releasedAt":"1970-01-01T00:00:00.001Z","why":"del"}',
    );
  });

  for (const [what, change, message] of [
    ['a newer version', { v: 2 }, /was written by a newer cellnet: its version is 2, and this one reads 1/],
    ['another version', { v: 0 }, /key 'v' is 0: expected 1/],
    ['an unknown reason', { why: 'because' }, /key 'why' is "because"/],
    ['another address', { ip: '10.20.0.99' }, /holds a lifetime of 10\.20\.0\.99, which is of another block/],
    ['an address outside', { ip: '10.99.0.1' }, /holds a lifetime of 10\.99\.0\.1/],
    ['no address', { ip: 'x' }, /ip 'x'/],
    ['a conflict without its MAC', { why: 'conflict' }, /'conflictMac' is missing/],
    ['a MAC without a conflict', { conflictMac: 'x' }, /'why' is "del"/],
    ['no time', { releasedAt: 'noon' }, /'releasedAt' is "noon"/],
  ] as const) {
    test(`with ${what} is refused by key and value`, () => {
      const { key, value } = written(sample);
      const broken = JSON.stringify({ ...(JSON.parse(value) as object), ...change });
      const expected = { code: 'corrupt-record', message: new RegExp(`etcd key '${key}'.*`) };
      assert.throws(() => decodeLifetime(BLUE, key, broken), expected);
      assert.throws(() => decodeLifetime(BLUE, key, broken), { message });
    });
  }

  test('at a place that no ring has is refused', () => {
    const { key, value } = written(sample);
    const beyond = key.replace(/\d+$/, String(lifetimesKept(BLUE)));
    assert.throws(() => decodeLifetime(BLUE, beyond, value), { code: 'corrupt-record' });
  });

  test('of a range larger than a /16 shares its ring, so that no range has unlimited keys', () => {
    const six = range('fd00:20::/64', { name: 'six' });
    const at = (text: string): string => historyOfBlock(six, blockAt(six, parseAddress(text)));
    assert.equal(at('fd00:20::12'), 'history/six/fd00:20::10/124/');
    assert.equal(at('fd00:20::1:2'), 'history/six/fd00:20::10/124/');
    // pickBlock uses 53 random bits of 60, so almost every block of a cluster still has a ring of
    // its own.
    const { random } = new World(7).ipam.effects;
    const picked = Array.from({ length: 1_000 }, () => pickBlock(six, new Set(), random()) ?? assert.fail());
    const rings = new Set(picked.map((block) => historyOfBlock(six, block)));
    assert.ok(rings.size > 800, `${rings.size} rings`);
    const sixteen = range('10.0.0.0/16', { name: 'r' });
    assert.equal(historyOfBlock(sixteen, parseCidr('10.0.255.240/28')), 'history/r/10.0.255.240/28/');
  });
});
