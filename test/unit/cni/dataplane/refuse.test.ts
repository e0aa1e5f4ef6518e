import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { refusalOf } from '../../../../cni/dataplane/refuse.ts';

const CLIENT = '0a580a140005';
const GATEWAY = '0a580a140001';
const hex = (...parts: readonly string[]): Buffer => Buffer.from(parts.join(''), 'hex');

/** 10.20.0.5 -> 10.96.0.10, without checksum. */
const ipv4 = (protocol: string, payload: string, fragment = '4000'): Buffer => {
  const total = (20 + payload.length / 2).toString(16).padStart(4, '0');
  const header = `4500${total}0001${fragment}40${protocol}00000a1400050a60000a`;
  return hex(GATEWAY, CLIENT, '0800', header, payload);
};
/** fd00::5 -> fd00:96::a */
const ipv6 = (next: string, payload: string): Buffer => {
  const length = (payload.length / 2).toString(16).padStart(4, '0');
  const [source, destination] = [`fd00${'0'.repeat(24)}0005`, `fd000096${'0'.repeat(20)}000a`];
  return hex(GATEWAY, CLIENT, '86dd', `60000000${length}${next}40`, source, destination, payload);
};
/** Port 40000 to 80, sequence number 0x01020304. */
const tcp = (flags: string, acknowledged = '00000000', data = ''): string =>
  `9c40005001020304${acknowledged}50${flags}ffff00000000${data}`;
const UDP = '9c400035000c0000deadbeef';

/** The Internet checksum of what holds its own checksum is zero. */
function sum(bytes: Buffer): number {
  let total = 0;
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  for (let at = 0; at < even.length; at += 2) total += even.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}
const pseudo4 = (ip: Buffer, length: number): Buffer =>
  Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip.readUInt8(9)]), u16(length)]);
const pseudo6 = (ip: Buffer, length: number): Buffer =>
  Buffer.concat([
    ip.subarray(8, 40),
    Buffer.from([0, 0]),
    u16(length),
    Buffer.from([0, 0, 0, ip.readUInt8(6)]),
  ]);
const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};

function answered(frame: Buffer): Buffer {
  const answer = refusalOf(frame);
  assert.ok(answer, 'the frame is answered');
  assert.equal(answer.subarray(0, 6).toString('hex'), CLIENT);
  assert.equal(answer.subarray(6, 12).toString('hex'), GATEWAY);
  assert.deepEqual(answer.subarray(12, 14), frame.subarray(12, 14));
  return answer.subarray(14);
}

suite('what refuses a packet', () => {
  test('a SYN is reset, with the next number acknowledged', () => {
    const ip = answered(ipv4('06', tcp('02')));
    assert.equal(ip.subarray(12, 20).toString('hex'), '0a60000a0a140005');
    const segment = ip.subarray(20);
    assert.equal(segment.subarray(0, 4).toString('hex'), '00509c40');
    assert.equal(segment.readUInt32BE(4), 0);
    assert.equal(segment.readUInt32BE(8), 0x01020305);
    assert.equal(segment.readUInt8(13), 0x14);
    assert.equal(sum(ip.subarray(0, 20)), 0);
    assert.equal(sum(Buffer.concat([pseudo4(ip, 20), segment])), 0);
  });

  test('a segment that acknowledges is reset with what it acknowledges', () => {
    const segment = answered(ipv4('06', tcp('10', '0a0b0c0d', '6869'))).subarray(20);
    assert.equal(segment.readUInt32BE(4), 0x0a0b0c0d);
    assert.equal(segment.readUInt8(13), 0x04);
  });

  test('data and FIN count in the number, which wraps', () => {
    const late = tcp('01', '00000000', '6869').replace('01020304', 'ffffffff');
    assert.equal(answered(ipv4('06', late)).readUInt32BE(28), 2);
  });

  test('a reset is not answered', () => assert.equal(refusalOf(ipv4('06', tcp('04'))), undefined));

  test('UDP gets "port unreachable" that quotes it', () => {
    const frame = ipv4('11', UDP);
    const ip = answered(frame);
    assert.equal(ip.readUInt8(9), 1);
    const message = ip.subarray(20);
    assert.deepEqual([message.readUInt8(0), message.readUInt8(1)], [3, 3]);
    assert.deepEqual(message.subarray(8), frame.subarray(14));
    assert.equal(sum(message), 0);
    assert.equal(ip.readUInt16BE(2), ip.length);
  });

  test('over IPv6 too', () => {
    const udp = answered(ipv6('11', UDP));
    assert.deepEqual([udp.readUInt8(40), udp.readUInt8(41)], [1, 4]);
    assert.equal(sum(Buffer.concat([pseudo6(udp, udp.length - 40), udp.subarray(40)])), 0);
    const reset = answered(ipv6('06', tcp('02')));
    assert.equal(sum(Buffer.concat([pseudo6(reset, 20), reset.subarray(40)])), 0);
    assert.equal(reset.subarray(8, 24).toString('hex'), `fd000096${'0'.repeat(20)}000a`);
  });

  test('a long packet is quoted so far as it fits', () => {
    const long = answered(ipv4('11', '9c40003505dc0000' + '00'.repeat(1400)));
    assert.equal(long.length, 20 + 8 + 548);
  });

  test('no answer to ICMP, later fragments, what is cut short, and other protocols of Ethernet', () => {
    assert.equal(refusalOf(ipv4('01', '0800000000010001')), undefined);
    assert.equal(refusalOf(ipv6('3a', '8000000000010001')), undefined);
    assert.equal(refusalOf(ipv4('11', UDP, '2001')), undefined);
    const frame = ipv4('06', tcp('02'));
    for (let length = 0; length < frame.length; length++)
      assert.equal(refusalOf(frame.subarray(0, length)), undefined, `${length} bytes`);
    assert.equal(refusalOf(hex(GATEWAY, CLIENT, '0806', '00'.repeat(46))), undefined);
  });
});
