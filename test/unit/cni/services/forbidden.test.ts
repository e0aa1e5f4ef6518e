import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, parseAddress } from '../../../../ipam/model/address.ts';
import {
  addressIn,
  rulesOf,
  sameForbidden,
  whyNoAddress,
  whyNoPort,
  whySpecial,
} from '../../../../cni/services/forbidden.ts';
import { forbidden } from './values.ts';

const special = (text: string): string | undefined => whySpecial(parseAddress(text));

suite('addresses that no host can have', () => {
  const CASES = [
    [/unspecified/, ['0.0.0.0', '::']],
    [/loopback/, ['127.0.0.0', '127.0.0.1', '127.255.255.255', '::1']],
    [/link-local/, ['169.254.0.0', '169.254.169.254', '169.254.255.255', 'fe80::1', 'febf:ffff::1']],
    [/multicast/, ['224.0.0.0', '239.255.255.255', 'ff00::', 'ff02::1']],
    [/broadcast/, ['255.255.255.255']],
    [/IPv4 address in the form/, ['::ffff:10.0.0.1', '::ffff:127.0.0.1']],
  ] as const;
  for (const [reason, texts] of CASES)
    test(texts.join(', '), () => {
      for (const text of texts) assert.match(special(text) ?? 'fine', reason);
    });

  test('their neighbours are fine', () => {
    for (const text of ['0.0.0.1', '126.255.255.255', '128.0.0.0', '169.253.255.255', '169.255.0.0'])
      assert.equal(special(text), undefined);
    for (const text of ['223.255.255.255', '240.0.0.0', '255.255.255.254', '::2', 'fec0::1', 'fd00::1'])
      assert.equal(special(text), undefined);
  });
});

suite('addresses that no Service may have', () => {
  const rules = rulesOf(
    forbidden(['10.20.0.0/22', '10.30.0.0/16', 'fd00:20::/64'], ['192.0.2.7', '2001:db8::7']),
  );
  const whyNot = (text: string): string | undefined => rules.others(parseAddress(text));

  test('those in a range, whose name and subnet are told', () => {
    assert.equal(whyNot('10.20.3.255'), "is in the range range0 (10.20.0.0/22), whose addresses are pods'");
    assert.match(whyNot('10.30.200.1') ?? '', /range1/);
    assert.match(whyNot('fd00:20::5') ?? '', /range2/);
    assert.equal(whyNot('10.20.4.0'), undefined);
    assert.equal(whyNot('fd00:21::5'), undefined);
  });

  test('an IPv6 address with the number of an IPv4 one in a range is another address', () => {
    assert.equal(whyNot('::a14:1'), undefined);
  });

  test('those of this node, except as cluster addresses', () => {
    for (const text of ['192.0.2.7', '2001:db8::7']) {
      assert.equal(whyNot(text), 'is an address of this node');
      assert.equal(rules.cluster(parseAddress(text)), undefined);
    }
    assert.match(rules.cluster(parseAddress('10.20.0.1')) ?? '', /range0/);
    assert.match(rules.cluster(parseAddress('127.0.0.1')) ?? '', /loopback/);
  });

  test('for any ranges, just the addresses in them', () => {
    const subnets = ['10.0.0.0/30', '10.0.0.8/29', '10.0.0.16/32', '10.0.0.32/27', '0.0.0.0/0', 'fd00::/120'];
    const addresses = fc.oneof(
      fc.nat(80).map((n) => `10.0.0.${n}`),
      fc.nat(80).map((n) => `fd00::${n.toString(16)}`),
      fc.constantFrom('10.0.1.0', 'fd01::'),
    );
    fc.assert(
      fc.property(fc.subarray(subnets), addresses, (cidrs, text) => {
        const address = parseAddress(text);
        const given = forbidden(cidrs);
        const isInside = given.ranges.some(({ cidr }) => cidrContains(cidr, address));
        assert.equal(rulesOf(given).others(address) !== undefined, isInside);
      }),
    );
  });

  test('the same ranges and addresses are the same, others are not', () => {
    assert.ok(
      sameForbidden(forbidden(['10.20.0.0/22'], ['192.0.2.7']), forbidden(['10.20.0.0/22'], ['192.0.2.7'])),
    );
    assert.ok(!sameForbidden(forbidden(['10.20.0.0/22']), forbidden(['10.20.0.0/23'])));
    assert.ok(!sameForbidden(forbidden([], ['192.0.2.7']), forbidden([], ['192.0.2.8'])));
    assert.ok(!sameForbidden(forbidden([], ['::5']), forbidden([], ['0.0.0.5'])));
  });
});

suite('texts', () => {
  test('that are no address', () => {
    for (const text of [
      '',
      'None',
      '10.20.0',
      '010.0.0.1',
      '10.0.0.1 ',
      'fe80::1%eth0',
      '10.0.0.0/8',
      '\u001b[31m',
    ])
      assert.equal(addressIn(text), undefined);
  });

  test('a subnet is called one', () => {
    for (const text of ['10.20.0.0/22', 'fd00::/64'])
      assert.equal(whyNoAddress(text), 'is a subnet, not one address');
    for (const text of ['x/22', '10.20.0.0/22/3', '/'])
      assert.equal(whyNoAddress(text), 'is not an IP address');
  });
});

test('ports', () => {
  for (const port of [1, 80, 65_535]) assert.equal(whyNoPort(port), undefined);
  for (const port of [0, -1, 65_536, 1.5, NaN]) assert.match(whyNoPort(port) ?? '', /from 1 to 65535/);
});
