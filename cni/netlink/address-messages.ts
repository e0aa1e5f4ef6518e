/**
 * Encodes and decodes RTM_…ADDR of rtnetlink(7): `struct ifaddrmsg` and IFA_… of linux/if_addr.h.
 * Pure.
 */
import { putU32, putU8, readU32 } from 'netlink/dist/structs.js';
import type { Family } from '../../ipam/model/address.ts';
import { addressFamily, familyOf, ip, payload, readAttributes, readIp, readNumber } from './attributes.ts';
import {
  AF_INET,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_F_DADFAILED,
  IFA_F_NODAD,
  IFA_F_TENTATIVE,
  IFA_FLAGS,
  IFA_LOCAL,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RT_SCOPE_UNIVERSE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from './kernel.ts';
import type { NamedLink } from './link-messages.ts';
import { change, dump, type Reply, type Request } from './request.ts';

/** An address with the prefix length of its subnet. */
export interface InterfaceAddress {
  /** For example '10.20.0.17' or 'fd00:20::11'. */
  readonly address: string;
  readonly prefixLength: number;
}

/** An address as the kernel reports it. */
export interface AssignedAddress extends InterfaceAddress {
  readonly family: Family;
  readonly linkIndex: number;
  readonly broadcast?: string;
  /** RT_SCOPE_…: 0 universe, 253 link, 254 host. */
  readonly scope: number;
  /** True while duplicate-address detection is in progress: the address is not usable yet. */
  readonly tentative: boolean;
  /** True when another host answered for the address (RFC 4862 section 5.4.5). */
  readonly duplicate: boolean;
}

const HEADER_LENGTH = 8;

/** Encodes struct ifaddrmsg. */
const header = (family: number, prefixLength: number, flags: number, linkIndex: number): Buffer =>
  Buffer.concat([
    putU8(family),
    putU8(prefixLength),
    putU8(flags),
    putU8(RT_SCOPE_UNIVERSE),
    putU32(linkIndex),
  ]);

export interface AddAddressOptions {
  readonly broadcast?: string | undefined;
  /** True keeps an address that already exists. False fails with EEXIST. */
  readonly replace?: boolean;
}

/**
 * Adds an IPv6 address without duplicate-address detection (RFC 4862 section 5.4): IPAM guarantees
 * that the address is unique, and the detection takes seconds.
 * Equivalent to: ip address add|replace ADDRESS/LENGTH broadcast BROADCAST dev LINK nodad
 */
export const addAddress = (
  link: NamedLink,
  { address, prefixLength }: InterfaceAddress,
  { broadcast, replace = false }: AddAddressOptions = {},
): Request => {
  const family = familyOf(address);
  const flags = family === 6 ? IFA_F_NODAD : 0;
  return change(
    `add address ${address}/${prefixLength} to ${link.name}`,
    RTM_NEWADDR,
    NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL),
    payload(header(addressFamily(family), prefixLength, flags, link.index), [
      ip(IFA_LOCAL, address),
      ip(IFA_ADDRESS, address),
      ip(IFA_BROADCAST, broadcast),
    ]),
  );
};

/**
 * Fails with EADDRNOTAVAIL when the link does not have the address.
 * Equivalent to: ip address delete ADDRESS/LENGTH dev LINK
 */
export const removeAddress = (link: NamedLink, { address, prefixLength }: InterfaceAddress): Request =>
  change(
    `delete address ${address}/${prefixLength} of ${link.name}`,
    RTM_DELADDR,
    0,
    payload(header(addressFamily(familyOf(address)), prefixLength, 0, link.index), [
      ip(IFA_LOCAL, address),
      ip(IFA_ADDRESS, address),
    ]),
  );

/** Lists the link's addresses of both families. Equivalent to: ip address show dev LINK */
export const showAddresses = (link: NamedLink): Request<AssignedAddress[]> => {
  const all = dump(`list addresses of ${link.name}`, RTM_GETADDR, header(0, 0, 0, link.index), decodeAddress);
  // Without strict checking the kernel lists the addresses of every link.
  return {
    ...all,
    decode: (replies) => all.decode(replies).filter((address) => address.linkIndex === link.index),
  };
};

export const decodeAddress = ({ payload: message }: Reply): AssignedAddress => {
  const attributes = readAttributes(message, HEADER_LENGTH);
  const flags = readNumber(attributes.get(IFA_FLAGS)) ?? message.readUInt8(2);
  const broadcast = attributes.get(IFA_BROADCAST);
  // On a point-to-point link IFA_ADDRESS is the peer's. IPv6 has IFA_LOCAL only with a peer.
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  return {
    family: message.readUInt8(0) === AF_INET ? 4 : 6,
    address: address === undefined ? '' : readIp(address),
    prefixLength: message.readUInt8(1),
    linkIndex: readU32.call(message, 4),
    scope: message.readUInt8(3),
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    duplicate: (flags & IFA_F_DADFAILED) !== 0,
    ...(broadcast !== undefined && { broadcast: readIp(broadcast) }),
  };
};
