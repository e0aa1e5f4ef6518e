import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  blockBase,
  canonicalIp,
  parseAddressKey,
  parsePodIp,
  addressKeyOf,
  RangeFinder,
} from '../../../ipam/audit/address-key.ts';
import { fingerprint, FingerprintSet } from '../../../ipam/audit/fingerprint.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { range } from './world.ts';

suite('places', () => {
  test('an address text has the place of its address, whatever its family', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), (four, six) => {
        assert.equal(parseAddressKey(four), addressKeyOf(parseAddress(four)));
        assert.equal(parseAddressKey(six), addressKeyOf(parseAddress(six)));
        assert.equal(canonicalIp(six), formatAddress(parseAddress(six)));
      }),
    );
  });

  test('what is no address is refused, and never read as another', () => {
    for (const text of [
      '',
      '10.20.0',
      '10.20.0.1.2',
      '010.0.0.1',
      '10.0.0.256',
      '1..2.3',
      '10.0.0.1 ',
      '.1.2.3',
      '1.2.3.',
    ])
      assert.throws(() => parsePodIp(text), /the API server names an address/, text);
  });

  test('IPv4 and IPv6 of equal number are two places', () => {
    const finder = new RangeFinder([range('10.20.0.0/22'), range('fd00:20::/112')]);
    assert.ok(finder.find(parseAddressKey('10.20.0.1')));
    assert.equal(finder.find(parseAddressKey('::a14:1')), undefined);
    assert.ok(finder.find(parseAddressKey('fd00:20::1')));
  });

  test('the range that holds an address is found, and none for what lies between', () => {
    const ranges = Array.from({ length: 64 }, (_, n) => range(`10.${n}.0.0/22`, { name: `r${n}` }));
    const finder = new RangeFinder(ranges);
    for (let n = 0; n < 64; n++) {
      assert.equal(finder.find(parseAddressKey(`10.${n}.0.0`))?.name, `r${n}`);
      assert.equal(finder.find(parseAddressKey(`10.${n}.3.255`))?.name, `r${n}`);
      assert.equal(finder.find(parseAddressKey(`10.${n}.4.0`)), undefined);
    }
    assert.equal(finder.find(parseAddressKey('9.255.255.255')), undefined);
    assert.equal(new RangeFinder([]).find(1), undefined);
  });

  test('the base of a block', () => {
    assert.equal(blockBase(parseAddressKey('10.20.0.31'), 16), parseAddressKey('10.20.0.16'));
    assert.equal(blockBase(parseAddressKey('fd00::1f'), 16), parseAddressKey('fd00::10'));
  });
});

suite('fingerprints', () => {
  test('a set knows what it was given, and nothing else, through all its growth', () => {
    const set = new FingerprintSet();
    for (let n = 0; n < 20_000; n++) assert.equal(set.add(`uid-${n}`), true);
    for (let n = 0; n < 20_000; n++) assert.equal(set.add(`uid-${n}`), false);
  });

  test('texts that differ in one character have different ones', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.nat(), (text, at) => {
        const i = at % text.length;
        const other = text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1);
        assert.notEqual(fingerprint(text, 0), fingerprint(other, 0));
        assert.ok(Number.isSafeInteger(fingerprint(text, 0)));
      }),
    );
  });
});
