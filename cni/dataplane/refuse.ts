/**
 * The packet that refuses another one, as a host without that port would send it: a TCP reset (RFC
 * 9293 section 3.10.7.1), else ICMP "port unreachable" (RFC 1122 section 4.1.3.1, RFC 4443 section
 * 3.1). Pure.
 */
import type { Family } from '../../ipam/model/address.ts';

const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
const TCP = 6;
const FLAG = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 } as const;
const ICMP = {
  4: { protocol: 1, type: 3, code: 3 },
  6: { protocol: 58, type: 1, code: 4 },
} as const;
/** How much of the refused packet an ICMP error quotes, so that it fits the smallest MTU. */
const QUOTED = { 4: 548, 6: 1_232 } as const;
const TTL = 64;

/** An IP packet in an Ethernet frame without VLAN tag. */
interface Packet {
  readonly family: Family;
  readonly protocol: number;
  readonly source: Buffer;
  readonly destination: Buffer;
  /** From the IP header on. */
  readonly ip: Buffer;
  /** What the IP header is followed by. */
  readonly payload: Buffer;
}

/**
 * @param frame an Ethernet frame
 * @returns the answer's frame, for the port that the frame came from; undefined when the frame must
 *   not be answered
 */
export function refusalOf(frame: Buffer): Buffer | undefined {
  const packet = parse(frame);
  if (!packet) return undefined;
  const answer = packet.protocol === TCP ? resetOf(packet) : unreachableOf(packet);
  if (!answer) return undefined;
  const [protocol, payload] = answer;
  const header = ipHeader(packet, protocol, payload.length);
  // The answer goes back the way that the frame came.
  return Buffer.concat([
    frame.subarray(6, 12),
    frame.subarray(0, 6),
    frame.subarray(12, 14),
    header,
    payload,
  ]);
}

function parse(frame: Buffer): Packet | undefined {
  if (frame.length < ETHERNET_BYTES + 20) return undefined;
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(ETHERNET_BYTES);
  if (type === 0x0800) return parseIpv4(ip);
  return type === 0x86dd ? parseIpv6(ip) : undefined;
}

function parseIpv4(ip: Buffer): Packet | undefined {
  const headerBytes = (ip.readUInt8(0) & 0x0f) * 4;
  const length = ip.readUInt16BE(2);
  const isLaterFragment = (ip.readUInt16BE(6) & 0x1fff) !== 0;
  if (headerBytes < 20 || length < headerBytes || length > ip.length || isLaterFragment) return undefined;
  return {
    family: 4,
    protocol: ip.readUInt8(9),
    source: ip.subarray(12, 16),
    destination: ip.subarray(16, 20),
    ip: ip.subarray(0, length),
    payload: ip.subarray(headerBytes, length),
  };
}

/** Packets with extension headers are not answered. */
function parseIpv6(ip: Buffer): Packet | undefined {
  if (ip.length < IPV6_BYTES) return undefined;
  const length = IPV6_BYTES + ip.readUInt16BE(4);
  if (length > ip.length) return undefined;
  return {
    family: 6,
    protocol: ip.readUInt8(6),
    source: ip.subarray(8, 24),
    destination: ip.subarray(24, 40),
    ip: ip.subarray(0, length),
    payload: ip.subarray(IPV6_BYTES, length),
  };
}

type Answer = readonly [protocol: number, payload: Buffer];

function resetOf(packet: Packet): Answer | undefined {
  const { payload } = packet;
  if (payload.length < TCP_BYTES) return undefined;
  const headerBytes = (payload.readUInt8(12) >> 4) * 4;
  const flags = payload.readUInt8(13);
  if (headerBytes < TCP_BYTES || headerBytes > payload.length || flags & FLAG.rst) return undefined;
  const segment = Buffer.alloc(TCP_BYTES);
  segment.writeUInt16BE(payload.readUInt16BE(2), 0);
  segment.writeUInt16BE(payload.readUInt16BE(0), 2);
  segment.writeUInt8((TCP_BYTES / 4) << 4, 12);
  if (flags & FLAG.ack) {
    segment.writeUInt32BE(payload.readUInt32BE(8), 4);
    segment.writeUInt8(FLAG.rst, 13);
  } else {
    const control = (flags & FLAG.syn ? 1 : 0) + (flags & FLAG.fin ? 1 : 0);
    const next = payload.readUInt32BE(4) + payload.length - headerBytes + control;
    segment.writeUInt32BE(next >>> 0, 8);
    segment.writeUInt8(FLAG.rst | FLAG.ack, 13);
  }
  segment.writeUInt16BE(checksum(pseudoHeader(packet, TCP, segment.length), segment), 16);
  return [TCP, segment];
}

/** No error answers an ICMP message: an echo request to a Service is not an error of its sender. */
function unreachableOf(packet: Packet): Answer | undefined {
  const { protocol, type, code } = ICMP[packet.family];
  if (packet.protocol === 1 || packet.protocol === 58) return undefined;
  const quoted = packet.ip.subarray(0, QUOTED[packet.family]);
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted]);
  const pseudo = packet.family === 6 ? pseudoHeader(packet, protocol, message.length) : Buffer.alloc(0);
  message.writeUInt16BE(checksum(pseudo, message), 2);
  return [protocol, message];
}

/** Returns the header of the answer: from the packet's destination to its source. */
function ipHeader({ family, source, destination }: Packet, protocol: number, bytes: number): Buffer {
  if (family === 6) {
    const header = Buffer.alloc(IPV6_BYTES);
    header.writeUInt8(0x60, 0);
    header.writeUInt16BE(bytes, 4);
    header.writeUInt8(protocol, 6);
    header.writeUInt8(TTL, 7);
    destination.copy(header, 8);
    source.copy(header, 24);
    return header;
  }
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + bytes, 2);
  header.writeUInt8(TTL, 8);
  header.writeUInt8(protocol, 9);
  destination.copy(header, 12);
  source.copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

/** The pseudo-header of RFC 9293 section 3.1 and RFC 8200 section 8.1, for the answer. */
function pseudoHeader({ source, destination }: Packet, protocol: number, bytes: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(bytes, 0);
  tail.writeUInt32BE(protocol, 4);
  return Buffer.concat([destination, source, tail]);
}

/** Internet checksum: RFC 1071. */
function checksum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  if (bytes.length % 2 === 1) sum += bytes.readUInt8(bytes.length - 1) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
