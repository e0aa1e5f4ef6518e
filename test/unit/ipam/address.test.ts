import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import {
  cidrContains,
  cidrSize,
  cidrSpan,
  compareAddresses,
  formatAddress,
  formatCidr,
  formatSpan,
  joinSpans,
  parseAddress,
  parseAddressInSubnet,
  parseCidr,
  parseIpv4,
  parseSpan,
  spanContains,
  spanSize,
  subnetOf,
  type Address,
  type Family,
} from '../../../ipam/model/address.ts';

const family = fc.constantFrom<Family>(4, 6);
const address = family.chain((which) =>
  fc
    .bigInt({ min: 0n, max: 2n ** (which === 4 ? 32n : 128n) - 1n })
    .map((value): Address => ({ family: which, value })),
);

suite('addresses', () => {
  test('every address survives being written and read', () => {
    fc.assert(fc.property(address, (each) => assert.deepEqual(parseAddress(formatAddress(each)), each)));
  });

  test('IPv4 is read as ipaddr.js reads four-part decimals', () => {
    const nearly = fc.stringMatching(/^[0-9]{0,4}(\.[0-9]{0,4}){2,4}$/);
    fc.assert(
      fc.property(nearly, (text) => {
        const expected = ipaddr.IPv4.isValidFourPartDecimal(text)
          ? ipaddr.IPv4.parse(text)
              .toByteArray()
              .reduce((value, byte) => value * 256 + byte, 0)
          : undefined;
        assert.equal(parseIpv4(text), expected, text);
      }),
    );
  });

  test('IPv6 is written as RFC 5952 says', () => {
    assert.equal(formatAddress(parseAddress('FD00:0:0:0:0:0:0:0011')), 'fd00::11');
    assert.equal(formatAddress(parseAddress('2001:db8:0:1:1:1:1:1')), '2001:db8:0:1:1:1:1:1');
  });

  for (const text of [
    '010.0.0.1',
    '10.1',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.1.1',
    '0x0a000001',
    '',
    ' 10.0.0.1',
    '10.0.0.1 ',
    'fe80::1%eth0',
    '1::2::3',
    'host',
    '10.0.0.1/8',
  ]) {
    test(`'${text}' is no address`, () => {
      assert.throws(() => parseAddress(text, 'gateway'), {
        code: 'invalid',
        message: /^gateway '.*expected the form/,
      });
    });
  }

  test('order: IPv4 first, then by number', () => {
    const sorted = ['fd00::1', '10.0.0.10', '10.0.0.9', '::5']
      .map((text) => parseAddress(text))
      .sort(compareAddresses);
    assert.deepEqual(sorted.map(formatAddress), ['10.0.0.9', '10.0.0.10', '::5', 'fd00::1']);
  });
});

suite('subnets', () => {
  test('every subnet survives being written and read, and holds its ends and nothing beside', () => {
    fc.assert(
      fc.property(address, fc.nat(128), (each, length) => {
        const cidr = subnetOf(each, Math.min(length, each.family === 4 ? 32 : 128));
        assert.deepEqual(parseCidr(formatCidr(cidr)), cidr);
        const { first, last } = cidrSpan(cidr);
        assert.equal(spanSize({ first, last }), cidrSize(cidr));
        assert.ok(cidrContains(cidr, each) && cidrContains(cidr, first) && cidrContains(cidr, last));
        assert.ok(!cidrContains(cidr, { ...last, value: last.value + 1n }));
        assert.ok(first.value === 0n || !cidrContains(cidr, { ...first, value: first.value - 1n }));
      }),
    );
  });

  test('host bits are refused, and the subnet that was meant is named', () => {
    assert.throws(() => parseCidr('10.20.1.7/22'), {
      code: 'invalid',
      message: "subnet '10.20.1.7/22' has host bits set: expected 10.20.0.0/22",
    });
    assert.throws(() => parseCidr('fd00::1/64'), /expected fd00::\/64/);
  });

  for (const text of [
    '10.1/22',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    'fd00::/129',
    '/8',
    '10.0.0.0/ 8',
  ]) {
    test(`'${text}' is no subnet`, () => {
      assert.throws(() => parseCidr(text), { code: 'invalid' });
    });
  }

  test('an address in its subnet keeps its host bits', () => {
    const { address: found, prefixLength } = parseAddressInSubnet('10.20.1.7/22');
    assert.equal(formatAddress(found), '10.20.1.7');
    assert.equal(prefixLength, 22);
  });
});

suite('spans', () => {
  test('three forms', () => {
    assert.equal(formatSpan(parseSpan('10.0.0.2')), '10.0.0.2');
    assert.equal(formatSpan(parseSpan('10.0.0.2-10.0.0.9')), '10.0.0.2-10.0.0.9');
    assert.equal(formatSpan(parseSpan('10.0.0.8/29')), '10.0.0.8-10.0.0.15');
  });

  test('what runs backwards, mixes families or has three ends is refused', () => {
    assert.throws(() => parseSpan('10.0.0.9-10.0.0.2'), /expected 10\.0\.0\.2-10\.0\.0\.9/);
    assert.throws(() => parseSpan('10.0.0.9-fd00::1'), /mixes IPv4 and IPv6/);
    assert.throws(() => parseSpan('10.0.0.1-10.0.0.2-10.0.0.3'), { code: 'invalid' });
  });

  test('joined spans cover just the same addresses, and touch nowhere', () => {
    const span = fc.tuple(fc.nat(60), fc.nat(12)).map(([first, more]) => ({
      first: { family: 4 as const, value: BigInt(first) },
      last: { family: 4 as const, value: BigInt(first + more) },
    }));
    fc.assert(
      fc.property(fc.array(span, { maxLength: 8 }), (spans) => {
        const joined = joinSpans(spans);
        for (let value = 0n; value < 80n; value++) {
          const each: Address = { family: 4, value };
          const before = spans.some((one) => spanContains(one, each));
          assert.equal(joined.filter((one) => spanContains(one, each)).length, before ? 1 : 0);
        }
        joined.slice(1).forEach((one, i) => assert.ok(one.first.value > (joined[i]?.last.value ?? 0n) + 1n));
      }),
    );
  });
});
