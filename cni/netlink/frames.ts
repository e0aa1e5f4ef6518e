/** Ethernet frames that tell neighbours which MAC an address has now. Pure. */
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
 * ARP announcement: a broadcast request (RFC 826) whose sender and target are both the address, and whose target
 * hardware address is zero (RFC 5227 section 3 says why a request and not a reply).
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
const NEIGHBOR_ADVERTISEMENT = 136;
/** The receiver is to replace the MAC that it knows. */
const OVERRIDE = 0x20;
const TARGET_LINK_LAYER_ADDRESS = 2;

/** RFC 1071: the one's complement of the one's complement sum of 16-bit words. `bytes` has an even length. */
export const internetChecksum = (bytes: Buffer): number => {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
};

/**
 * Unsolicited neighbour advertisement to all nodes, with the override flag (RFC 4861 sections 4.4 and 7.2.6); the
 * checksum covers the pseudo-header of RFC 8200 section 8.1.
 */
export const unsolicitedNeighborAdvertisement = (mac: string, ipv6: string): Buffer => {
  const source = addressOfLength(ipv6, 16, 'IPv6');
  const target = addressBytes(ALL_NODES);
  const message = Buffer.concat([
    Buffer.from([NEIGHBOR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0]),
    source,
    Buffer.from([TARGET_LINK_LAYER_ADDRESS, 1]),
    macBytes(mac),
  ]);
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
  return ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6, Buffer.concat([header, message]));
};
