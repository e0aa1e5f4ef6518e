import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  cidrSpan,
  formatCidr,
  offsetAddress,
  parseAddress,
  parseCidr,
  type Address,
} from '../../../ipam/model/address.ts';
import { checkNoOverlap, defaultRangeName, makeRange } from '../../../ipam/model/new-range.ts';
import {
  blockAt,
  blockTotal,
  isBlockReserved,
  isReserved,
  pickBlock,
  rangeCapacity,
  usableBlockTotal,
  type Range,
} from '../../../ipam/model/range.ts';
import { rangeKey } from '../../../ipam/records/keys.ts';
import { decodeRange, encodeRange } from '../../../ipam/records/range-record.ts';
import { range } from './world.ts';

/** Small ranges of both families with exclusions anywhere, so that a test can count everything. */
const smallRange = fc
  .record({
    ipv6: fc.boolean(),
    hostBits: fc.integer({ min: 4, max: 8 }),
    blockSize: fc.constantFrom(4, 8, 16),
    gateway: fc.option(fc.integer({ min: 1, max: 14 }), { nil: undefined }),
    exclude: fc.array(fc.tuple(fc.nat(255), fc.nat(40)), { maxLength: 4 }),
  })
  .map(({ ipv6, hostBits, blockSize, gateway, exclude }) => {
    const cidr = parseCidr(ipv6 ? `fd00::/${128 - hostBits}` : `10.0.0.0/${32 - hostBits}`);
    const size = 2 ** hostBits;
    const at = (n: number): Address => offsetAddress(cidr.base, BigInt(Math.min(n, size - 1)));
    try {
      return makeRange({
        cidr,
        blockSize,
        ...(gateway !== undefined && { gateway: at(gateway) }),
        exclude: exclude.map(([first, more]) => ({ first: at(first), last: at(first + more) })),
      });
    } catch {
      // makeRange refuses a range with everything excluded. A test below covers that.
      return range('10.0.0.0/28');
    }
  });

function addressesOf({ cidr }: Range): Address[] {
  const { first, last } = cidrSpan(cidr);
  return Array.from({ length: Number(last.value - first.value) + 1 }, (_, i) =>
    offsetAddress(first, BigInt(i)),
  );
}

function blocksOf(each: Range): string[] {
  return [...new Set(addressesOf(each).map((address) => formatCidr(blockAt(each, address))))];
}

suite('arithmetic of ranges', () => {
  test('capacity is the number of addresses that are not reserved', () => {
    fc.assert(
      fc.property(smallRange, (each) => {
        assert.equal(
          rangeCapacity(each),
          addressesOf(each).filter((address) => !isReserved(each, address)).length,
        );
      }),
    );
  });

  test('usable blocks are those with an address for a pod', () => {
    fc.assert(
      fc.property(smallRange, (each) => {
        const all = blocksOf(each);
        assert.equal(Number(blockTotal(each)), all.length);
        assert.equal(
          usableBlockTotal(each),
          all.filter((text) => !isBlockReserved(each, parseCidr(text))).length,
        );
      }),
    );
  });

  test('network, broadcast, gateway and next hops are reserved; in IPv6 there is no broadcast', () => {
    const four = range('10.20.0.0/22', { gateway: '10.20.0.1' });
    assert.equal(rangeCapacity(four), 1021);
    const six = range('fd00:20::/112', { gateway: 'fd00:20::1' });
    assert.equal(rangeCapacity(six), 65_534);
    assert.equal(rangeCapacity(range('10.20.0.0/22')), 1022);
  });

  test('a link-local gateway or next hop takes no address of the range', () => {
    const six = range('fd00:20::/112', { gateway: 'fe80::1' });
    assert.equal(rangeCapacity(six), 65_535);
    assert.equal(usableBlockTotal(six), 4096);
    const hop = makeRange({
      cidr: parseCidr('fd00:20::/112'),
      routes: [{ destination: parseCidr('fd00:96::/64'), via: parseAddress('fe80::2') }],
    });
    assert.equal(rangeCapacity(hop), 65_535);
    assert.deepEqual(decodeRange(rangeKey(six.name), encodeRange(six)), six);
  });

  test('picking block after block gives every usable one once, then none', () => {
    fc.assert(
      fc.property(
        smallRange,
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
          minLength: 1,
          maxLength: 20,
        }),
        (each, randoms) => {
          const claimed = new Set<string>();
          for (let n = 0; n <= 64; n++) {
            const block = pickBlock(each, claimed, randoms[n % randoms.length] ?? 0);
            if (!block) break;
            const text = formatCidr(block);
            assert.ok(!claimed.has(text) && !isBlockReserved(each, block));
            claimed.add(text);
          }
          assert.equal(claimed.size, usableBlockTotal(each));
        },
      ),
    );
  });

  test('a huge IPv6 range of which nearly all is excluded gives its one block at once', () => {
    const each = range('fd00::/64', {
      exclude: ['fd00::-fd00::7fff:ffff:ffff:ffff', 'fd00::8000:0:0:10-fd00::ffff:ffff:ffff:ffff'],
    });
    assert.equal(usableBlockTotal(each), 1);
    for (const random of [0, 0.3, 0.5, 0.999999]) {
      const block = pickBlock(each, new Set(), random);
      assert.equal(block && formatCidr(block), 'fd00::8000:0:0:0/124');
    }
  });

  test('nodes that claim at once start at different places', () => {
    const each = range('10.20.0.0/22');
    const picked = Array.from({ length: 64 }, (_, i) => pickBlock(each, new Set(), i / 64)).map(
      (block) => block && formatCidr(block),
    );
    assert.equal(new Set(picked).size, 64);
  });
});

suite('a range that is refused', () => {
  const cases: [what: string, make: () => unknown, message: RegExp][] = [
    [
      'gateway outside',
      () => range('10.20.0.0/22', { gateway: '10.20.4.1' }),
      /gateway 10\.20\.4\.1 is outside 10\.20\.0\.0\/22: expected an address from 10\.20\.0\.1 to 10\.20\.3\.254/,
    ],
    [
      'gateway is the network address',
      () => range('10.20.0.0/22', { gateway: '10.20.0.0' }),
      /is the network address .* such as 10\.20\.0\.1/,
    ],
    [
      'gateway is the broadcast address',
      () => range('10.20.0.0/22', { gateway: '10.20.3.255' }),
      /is the broadcast address/,
    ],
    [
      'gateway of another family',
      () => range('10.20.0.0/22', { gateway: 'fd00::1' }),
      /gateway fd00::1 is IPv6, and the range 10\.20\.0\.0\/22 is IPv4: expected an address from 10\.20\.0\.1/,
    ],
    [
      'gateway outside, in IPv6',
      () => range('fd00:20::/64', { gateway: 'fd00:21::1' }),
      /expected an address from fd00:20::1 to .*, or a link-local one such as fe80::1/,
    ],
    ['gateway fe80::', () => range('fd00:20::/64', { gateway: 'fe80::' }), /gateway fe80:: is outside/],
    ['link-local for IPv4', () => range('10.20.0.0/22', { gateway: 'fe80::1' }), /fe80::1 is IPv6, and/],
    ['VLAN 0', () => range('10.20.0.0/22', { vlan: 0 }), /vlan 0: expected a VLAN ID from 1 to 4094/],
    ['VLAN 4095', () => range('10.20.0.0/22', { vlan: 4095 }), /vlan 4095/],
    ['name with a slash', () => range('10.20.0.0/22', { name: 'a/b' }), /range name 'a\/b'/],
    ['name in capitals', () => range('10.20.0.0/22', { name: 'Blue' }), /range name 'Blue'/],
    ['smaller than a block', () => range('10.20.0.0/29'), /from \/8 to \/28/],
    ['far too large', () => range('0.0.0.0/0'), /from \/8 to \/28/],
    ['multicast', () => range('224.0.0.0/8'), /multicast/],
    ['loopback', () => range('127.0.0.0/24'), /loopback/],
    ['link-local IPv6', () => range('fe80::/64'), /link-local/],
    [
      'exclusion outside',
      () => range('10.20.0.0/24', { exclude: ['10.20.0.250-10.20.1.3'] }),
      /exclusion 10\.20\.0\.250-10\.20\.1\.3 is not inside/,
    ],
    ['everything excluded', () => range('10.20.0.0/28', { exclude: ['10.20.0.0/28'] }), /leave no address/],
    [
      'odd block size',
      () => range('10.20.0.0/22', { blockSize: 10 }),
      /block size 10: expected one of 4, 8, 16, 32, 64/,
    ],
    ['negative cooldown', () => range('10.20.0.0/22', { cooldownMs: -1 }), /cooldown -1 ms/],
    [
      'route of another family',
      () => makeRange({ cidr: parseCidr('10.20.0.0/22'), routes: [{ destination: parseCidr('fd00::/64') }] }),
      /not of the range's family/,
    ],
    [
      'route without next hop or gateway',
      () =>
        makeRange({ cidr: parseCidr('10.20.0.0/22'), routes: [{ destination: parseCidr('10.96.0.0/12') }] }),
      /names no next hop/,
    ],
    [
      'two routes to one destination',
      () =>
        makeRange({
          cidr: parseCidr('10.20.0.0/22'),
          gateway: parseAddress('10.20.0.1'),
          routes: [
            { destination: parseCidr('10.96.0.0/12') },
            { destination: parseCidr('10.96.0.0/12'), via: parseAddress('10.20.0.2') },
          ],
        }),
      /route 10\.96\.0\.0\/12 is given more than once: expected one next hop/,
    ],
    ...[
      ['10.20.0.0/22', '10.20.0.1', '0.0.0.0/0', '10.20.0.2'] as const,
      ['fd00::/64', 'fd00::1', '::/0', 'fd00::2'] as const,
    ].map(([cidr, gateway, destination, via]): [string, () => unknown, RegExp] => [
      `a default route ${destination} beside a gateway`,
      () =>
        makeRange({
          cidr: parseCidr(cidr),
          gateway: parseAddress(gateway),
          routes: [{ destination: parseCidr(destination), via: parseAddress(via) }],
        }),
      /is one default route too many, for gateway .* makes one: expected the gateway alone, or this route/,
    ]),
    ...['10.20.0.0/22', '10.20.2.0/24', '10.20.3.255/32'].map(
      (destination): [string, () => unknown, RegExp] => [
        `route to ${destination}, its own`,
        () =>
          makeRange({
            cidr: parseCidr('10.20.0.0/22'),
            gateway: parseAddress('10.20.0.1'),
            routes: [{ destination: parseCidr(destination) }],
          }),
        /lies in the range 10\.20\.0\.0\/22/,
      ],
    ),
  ];
  for (const [what, make, message] of cases) {
    test(what, () => assert.throws(make, { code: 'invalid', message }));
  }

  test('an overlap names the other range', () => {
    const blue = range('10.20.0.0/22', { name: 'blue' });
    for (const text of ['10.20.2.0/24', '10.16.0.0/12', '10.20.0.0/22']) {
      assert.throws(() => checkNoOverlap(range(text, { name: 'red' }), [blue]), {
        code: 'conflict',
        message: /overlaps with range 'blue' \(10\.20\.0\.0\/22\)/,
      });
    }
    assert.throws(
      () => checkNoOverlap(range('10.30.0.0/22', { name: 'blue' }), [blue]),
      /range 'blue' exists/,
    );
    checkNoOverlap(range('10.20.4.0/22', { name: 'red' }), [blue]);
    checkNoOverlap(range('fd00::/64', { name: 'red' }), [blue]);
  });

  test('default names', () => {
    assert.equal(defaultRangeName(parseCidr('10.20.0.0/22')), '10.20.0.0-22');
    assert.equal(range('fd00:20::/64').name, 'fd00-20-64');
  });
});
