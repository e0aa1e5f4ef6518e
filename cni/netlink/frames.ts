/** Builds frames that announce or probe addresses, and finds conflicts in received frames. Pure. */
import { addressBytes, macBytes } from './attributes.ts';

const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;

const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

const ethernet = (to: string, from: string, type: number, payload: Buffer): Buffer =>
  Buffer.concat([macBytes(to), macBytes(from), uint16(type), payload]);

const addressOfLength = (text: string, length: number, expected: string): Buffer => {
  const bytes = addressBytes(text);
  if (bytes.length !== length) throw new TypeError(`'${text}' is not an ${expected} address`);
  return bytes;
};

/**
 * Builds an ARP announcement: a broadcast request (RFC 826) whose sender and target are both the
 * address, and whose target hardware address is zero (RFC 5227 section 3 explains why a request
 * and not a reply).
 * Equivalent to: arping -U -I LINK -s ADDRESS ADDRESS
 */
export const gratuitousArpFrame = (mac: string, ipv4: string): Buffer => {
  const address = addressOfLength(ipv4, 4, 'IPv4');
  const ethernetAndIpv4 = Buffer.from([0, 1, 8, 0, 6, 4]);
  const request = uint16(1);
  const arp = [ethernetAndIpv4, request, macBytes(mac), address, Buffer.alloc(6), address];
  return ethernet(BROADCAST_MAC, mac, ETHERTYPE_ARP, Buffer.concat(arp));
};

const ALL_NODES = 'ff02::1';
const ALL_NODES_MAC = '33:33:00:00:00:01';
const ICMPV6 = 58;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
/** Tells the receiver to replace the MAC that it knows. */
const OVERRIDE = 0x20;
const TARGET_LINK_LAYER_ADDRESS = 2;

/**
 * RFC 1071: returns the one's complement of the one's complement sum of 16-bit words. `bytes` has
 * an even length.
 */
export const internetChecksum = (bytes: Buffer): number => {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
};

/**
 * Builds an ARP probe: a broadcast request whose sender address is all zero, so that no host learns
 * anything from it (RFC 5227 section 2.1.1).
 */
export const arpProbeFrame = (mac: string, ipv4: string): Buffer => {
  const address = addressOfLength(ipv4, 4, 'IPv4');
  const ethernetAndIpv4 = Buffer.from([0, 1, 8, 0, 6, 4]);
  const request = uint16(1);
  const arp = [ethernetAndIpv4, request, macBytes(mac), Buffer.alloc(4), Buffer.alloc(6), address];
  return ethernet(BROADCAST_MAC, mac, ETHERTYPE_ARP, Buffer.concat(arp));
};

/**
 * Builds an unsolicited neighbour advertisement to all nodes, with the override flag (RFC 4861
 * sections 4.4 and 7.2.6). The checksum covers the pseudo-header of RFC 8200 section 8.1.
 */
export const unsolicitedNeighborAdvertisement = (mac: string, ipv6: string): Buffer => {
  const source = addressOfLength(ipv6, 16, 'IPv6');
  const message = Buffer.concat([
    Buffer.from([NEIGHBOR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0]),
    source,
    Buffer.from([TARGET_LINK_LAYER_ADDRESS, 1]),
    macBytes(mac),
  ]);
  return icmpv6Frame({ mac, source, target: addressBytes(ALL_NODES), targetMac: ALL_NODES_MAC, message });
};

/**
 * Builds the probe of duplicate address detection: a neighbour solicitation from the unspecified
 * address to the solicited-node multicast address, without the option that carries a MAC (RFC 4862
 * section 5.4.2, RFC 4861 section 4.3).
 */
export const neighborSolicitationProbe = (mac: string, ipv6: string): Buffer => {
  const address = addressOfLength(ipv6, 16, 'IPv6');
  const [low1 = 0, low2 = 0, low3 = 0] = address.subarray(13);
  const target = addressBytes('ff02::1:ff00:0');
  target.set([low1, low2, low3], 13);
  const targetMac = `33:33:ff:${Buffer.from([low1, low2, low3])
    .toString('hex')
    .replace(/..(?=.)/g, '$&:')}`;
  const message = Buffer.concat([Buffer.from([NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]), address]);
  return icmpv6Frame({ mac, source: Buffer.alloc(16), target, targetMac, message });
};

interface Icmpv6 {
  readonly mac: string;
  readonly source: Buffer;
  readonly target: Buffer;
  readonly targetMac: string;
  /** The ICMPv6 message, with its checksum still zero. */
  readonly message: Buffer;
}

const icmpv6Frame = ({ mac, source, target, targetMac, message }: Icmpv6): Buffer => {
  const length = uint16(message.length);
  const pseudoHeader = Buffer.concat([source, target, uint16(0), length, Buffer.from([0, 0, 0, ICMPV6])]);
  message.writeUInt16BE(internetChecksum(Buffer.concat([pseudoHeader, message])), 2);
  const header = Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    length,
    Buffer.from([ICMPV6, 255]),
    source,
    target,
  ]);
  return ethernet(targetMac, mac, ETHERTYPE_IPV6, Buffer.concat([header, message]));
};

/** A probed address and the MAC of the host that uses it. */
export interface Conflict {
  readonly address: string;
  readonly mac: string;
}

const macText = (bytes: Buffer): string => bytes.toString('hex').replace(/..(?=.)/g, '$&:');

/**
 * Returns a conflict when a received frame shows that another host uses one of the addresses, or,
 * unless `usersOnly`, probes for it too.
 * @param addresses as the kernel writes them
 * @param probing MAC of our own probes: frames from it are ignored
 */
export const conflictIn = (
  frame: Buffer,
  addresses: readonly string[],
  probing: string,
  usersOnly = false,
): Conflict | undefined => {
  if (frame.length < 14) return undefined;
  const mac = macText(frame.subarray(6, 12));
  if (mac === probing) return undefined;
  const type = frame.readUInt16BE(12);
  const payload = frame.subarray(14);
  const claimed =
    type === ETHERTYPE_ARP
      ? claimedByArp(payload, usersOnly)
      : type === ETHERTYPE_IPV6
        ? claimedByNdp(payload, usersOnly)
        : undefined;
  const address = claimed && addresses.find((each) => addressBytes(each).equals(claimed));
  return address === undefined ? undefined : { address, mac };
};

/** Returns the sender's address, or the target address if the frame is a probe. */
const claimedByArp = (arp: Buffer, usersOnly: boolean): Buffer | undefined => {
  if (arp.length < 28 || arp.readUInt16BE(2) !== 0x0800) return undefined;
  const sender = arp.subarray(14, 18);
  if (!sender.equals(Buffer.alloc(4))) return sender;
  return usersOnly ? undefined : arp.subarray(24, 28);
};

/** Returns the target of a neighbour advertisement, or of a probe by neighbour solicitation. */
const claimedByNdp = (packet: Buffer, usersOnly: boolean): Buffer | undefined => {
  if (packet.length < 64 || packet[6] !== ICMPV6) return undefined;
  const isProbe = !usersOnly && packet.subarray(8, 24).equals(Buffer.alloc(16));
  const type = packet[40];
  if (type === NEIGHBOR_ADVERTISEMENT || (type === NEIGHBOR_SOLICITATION && isProbe))
    return packet.subarray(48, 64);
  return undefined;
};
