/** Frames as a pod sends and expects them. */

const MAC_BYTES = 6;

const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
const ip = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

/** Returns the ones' complement of the ones' complement sum (RFC 1071). */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface Datagram {
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** Returns a frame with a UDP datagram of 8 bytes, without a checksum of UDP. */
export function udpFrame({ src, dst, srcPort, dstPort }: Datagram): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0]),
    ...[ip(src), ip(dst)],
  ]);
  header.writeUInt16BE(checksum(header), 10);
  const udp = Buffer.alloc(16);
  udp.writeUInt16BE(srcPort, 0);
  udp.writeUInt16BE(dstPort, 2);
  udp.writeUInt16BE(16, 4);
  const ethernet = [mac('0a:58:0a:14:00:09'), mac('0a:58:0a:14:00:05'), Buffer.from([0x08, 0x00])];
  return Buffer.concat([...ethernet, header, udp]);
}

export const isArp = (frame: Buffer): boolean => frame.readUInt16BE(12) === 0x0806;

/** Returns the answer to an ARP request: the address is at the MAC. */
export function arpReply(request: Buffer, at: string): Buffer {
  const reply = Buffer.from(request);
  const asker = request.subarray(MAC_BYTES, 2 * MAC_BYTES);
  const askedFor = request.subarray(38, 42);
  reply.set(asker, 0);
  reply.set(mac(at), MAC_BYTES);
  reply.writeUInt16BE(2, 20);
  reply.set([...mac(at), ...askedFor, ...asker, ...request.subarray(28, 32)], 22);
  return reply;
}

/** Returns the answer to an ICMP echo request. */
export function echoReply(request: Buffer): Buffer {
  const ICMP = 34;
  const reply = Buffer.from(request);
  reply.set([...request.subarray(6, 12), ...request.subarray(0, 6)], 0);
  reply.set([...request.subarray(30, 34), ...request.subarray(26, 30)], 26);
  reply.writeUInt16BE(0, ICMP);
  reply.writeUInt16BE(0, ICMP + 2);
  reply.writeUInt16BE(checksum(reply.subarray(ICMP)), ICMP + 2);
  return reply;
}
