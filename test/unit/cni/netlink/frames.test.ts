import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  gratuitousArpFrame,
  internetChecksum,
  unsolicitedNeighborAdvertisement,
} from '../../../../cni/netlink/frames.ts';

const MAC = '0a:58:0a:14:00:11';

test('gratuitous ARP is a broadcast request for the own address, target hardware address zero', () => {
  assert.equal(
    gratuitousArpFrame(MAC, '10.20.0.17').toString('hex'),
    [
      'ffffffffffff 0a580a140011 0806',
      '0001 0800 06 04 0001',
      '0a580a140011 0a140011',
      '000000000000 0a140011',
    ]
      .join('')
      .replaceAll(' ', ''),
  );
});

test('a neighbour advertisement goes to all nodes with hop limit 255 and the override flag', () => {
  const frame = unsolicitedNeighborAdvertisement(MAC, 'fd00:20::11').toString('hex');
  const address = 'fd000020000000000000000000000011';
  assert.equal(frame.slice(0, 28), '3333000000010a580a14001186dd');
  assert.equal(frame.slice(28, 44), '6000000000203aff');
  assert.equal(frame.slice(44, 108), `${address}ff020000000000000000000000000001`);
  assert.match(frame.slice(108), new RegExp(`^8800....20000000${address}02010a580a140011$`));
});

/** RFC 1071 section 1, item 3: with its checksum in place, a message sums to zero. */
const verify = (frame: Buffer): number => {
  const ipv6 = frame.subarray(14);
  const pseudoHeader = Buffer.concat([ipv6.subarray(8, 40), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58])]);
  return internetChecksum(Buffer.concat([pseudoHeader, ipv6.subarray(40)]));
};

test('the checksum of every neighbour advertisement holds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), fc.ipV6(), (macBytes, address) => {
      const mac = Buffer.from(macBytes)
        .toString('hex')
        .replace(/..(?=.)/g, '$&:');
      assert.equal(verify(unsolicitedNeighborAdvertisement(mac, address)), 0);
    }),
    { numRuns: 200 },
  );
});

test('the checksum of the example in RFC 1071 section 3 is right', () => {
  assert.equal(internetChecksum(Buffer.from('0001f203f4f5f6f7', 'hex')), 0xffff - 0xddf2);
});

test('an address of the other family is refused', () => {
  assert.throws(() => gratuitousArpFrame(MAC, 'fd00::1'), /not an IPv4 address/);
  assert.throws(() => unsolicitedNeighborAdvertisement(MAC, '10.20.0.17'), /not an IPv6 address/);
});
