import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  arpProbeFrame,
  conflictIn,
  gratuitousArpFrame,
  internetChecksum,
  neighborSolicitationProbe,
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

/** Returns zero for a message with a correct checksum (RFC 1071 section 1, item 3). */
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
    { numRuns: 100 },
  );
});

test('the checksum of the example in RFC 1071 section 3 is right', () => {
  assert.equal(internetChecksum(Buffer.from('0001f203f4f5f6f7', 'hex')), 0xffff - 0xddf2);
});

test('an address of the other family is refused', () => {
  assert.throws(() => gratuitousArpFrame(MAC, 'fd00::1'), /not an IPv4 address/);
  assert.throws(() => unsolicitedNeighborAdvertisement(MAC, '10.20.0.17'), /not an IPv6 address/);
});

const PROBING = '0a:5a:00:00:00:01';
const ADDRESSES = ['10.20.0.17', 'fd00:20::11'];
const OTHER = '02:00:00:00:00:99';

test('an ARP probe tells no sender address', () => {
  assert.equal(
    arpProbeFrame(PROBING, '10.20.0.17').toString('hex'),
    [
      'ffffffffffff 0a5a00000001 0806',
      '0001 0800 06 04 0001',
      '0a5a00000001 00000000',
      '000000000000 0a140011',
    ]
      .join('')
      .replaceAll(' ', ''),
  );
});

test('a probe by neighbour solicitation goes to the solicited-node address, from nobody', () => {
  const frame = neighborSolicitationProbe(PROBING, 'fd00:20::a1:b2c3');
  const text = frame.toString('hex');
  assert.equal(text.slice(0, 28), '3333ffa1b2c30a5a0000000186dd');
  assert.equal(text.slice(28, 44), '6000000000183aff');
  assert.equal(text.slice(44, 108), `${'0'.repeat(32)}ff0200000000000000000001ffa1b2c3`);
  assert.match(text.slice(108), /^8700....00000000fd000020000000000000000000a1b2c3$/);
});

suite('a conflict', () => {
  const found: [what: string, frame: Buffer, address: string][] = [
    ['an announcement of the address', gratuitousArpFrame(OTHER, '10.20.0.17'), '10.20.0.17'],
    ["another's probe for it", arpProbeFrame(OTHER, '10.20.0.17'), '10.20.0.17'],
    ['a neighbour advertisement', unsolicitedNeighborAdvertisement(OTHER, 'fd00:20::11'), 'fd00:20::11'],
    ["another's probe by solicitation", neighborSolicitationProbe(OTHER, 'fd00:20::11'), 'fd00:20::11'],
  ];
  for (const [what, frame, address] of found) {
    test(`is ${what}`, () =>
      assert.deepEqual(conflictIn(frame, ADDRESSES, PROBING), { address, mac: OTHER }));
  }
  const none: [what: string, frame: Buffer][] = [
    ['another address', gratuitousArpFrame(OTHER, '10.20.0.18')],
    ["one's own probe", arpProbeFrame(PROBING, '10.20.0.17')],
    ["one's own solicitation", neighborSolicitationProbe(PROBING, 'fd00:20::11')],
    ['a frame that is cut short', gratuitousArpFrame(OTHER, '10.20.0.17').subarray(0, 30)],
    ['nothing', Buffer.alloc(0)],
  ];
  for (const [what, frame] of none) {
    test(`is not ${what}`, () => assert.equal(conflictIn(frame, ADDRESSES, PROBING), undefined));
  }
  test('is found or not in any frame, without a failure', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(0x0806, 0x86dd, 0), (bytes, type) => {
        const frame = Buffer.concat([Buffer.alloc(12), Buffer.from([type >> 8, type & 0xff]), bytes]);
        conflictIn(frame, ADDRESSES, PROBING);
      }),
    ));

  for (const [what, frame, address] of found) {
    const isProbe = what.includes('probe');
    test(`for a look that leaves out probes it is ${isProbe ? 'not ' : ''}${what}`, () =>
      assert.deepEqual(
        conflictIn(frame, ADDRESSES, PROBING, true),
        isProbe ? undefined : { address, mac: OTHER },
      ));
  }
});
