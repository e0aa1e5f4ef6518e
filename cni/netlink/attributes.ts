/**
 * Encodes and decodes attributes of netlink messages (RFC 3549 section 2.2, `struct nlattr` of
 * linux/netlink.h).
 */
import {
  AttrStream,
  parseAttributes,
  putString,
  putU32,
  putU8,
  readU32,
  type StreamData,
} from 'netlink/dist/structs.js';
import { familyBits, formatAddress, parseAddress, type Family } from '../../ipam/model/address.ts';
import { AF_INET, AF_INET6 } from './kernel.ts';

export type Attribute = readonly [type: number, value: StreamData];

/** Returns a fixed header followed by its attributes. Undefined attributes are left out. */
export const payload = (header: Buffer, attributes: readonly (Attribute | undefined)[]): Buffer => {
  const stream = new AttrStream();
  stream.emit(header);
  for (const attribute of attributes) if (attribute) stream.push(...attribute);
  return Buffer.concat(stream.bufs);
};

/** Wraps an encoder so that an undefined value yields no attribute. */
const optional =
  <Value>(encode: (value: Value) => StreamData) =>
  (type: number, value: Value | undefined): Attribute | undefined =>
    value === undefined ? undefined : [type, encode(value)];

export const u8 = optional<number>(putU8);
export const u32 = optional<number>(putU32);
/** Encodes zero-terminated text. */
export const text = optional<string>((value) => putString(value));
export const mac = optional<string>((value) => macBytes(value));
export const ip = optional<string>((value) => addressBytes(value));
export const nested = (type: number, ...inner: readonly (Attribute | undefined)[]): Attribute => [
  type,
  payload(Buffer.alloc(0), inner),
];

/** Returns the attributes after a header of `offset` bytes. The last one of a type wins. */
export const readAttributes = (message: Buffer, offset: number): Map<number, Buffer> => {
  const attributes = new Map<number, Buffer>();
  parseAttributes(message.subarray(offset), ({ type, data }) => attributes.set(type, data));
  return attributes;
};

export const readNumber = (value: Buffer | undefined): number | undefined =>
  value === undefined ? undefined : readU32.call(value, 0);

export const readText = (value: Buffer | undefined): string | undefined =>
  value?.toString('utf8').replace(/\0.*$/s, '');

/** Returns '0a:58:0a:14:00:11' as six bytes. Throws TypeError for any other form. */
export const macBytes = (value: string): Buffer => {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value))
    throw new TypeError(`'${value}' is not a MAC address: expected the form 0a:58:0a:14:00:11`);
  return Buffer.from(value.replaceAll(':', ''), 'hex');
};

export const readMac = (value: Buffer): string => value.toString('hex').replace(/..(?=.)/g, '$&:');

/**
 * Returns '10.20.0.17' as 4 bytes or 'fd00::11' as 16 bytes.
 * @throws IpamError `invalid` for any other text
 */
export const addressBytes = (value: string): Buffer => {
  const { family, value: number } = parseAddress(value);
  return Buffer.from(number.toString(16).padStart(familyBits(family) / 4, '0'), 'hex');
};

export const readIp = (value: Buffer): string =>
  formatAddress({ family: value.length === 4 ? 4 : 6, value: BigInt(`0x${value.toString('hex')}`) });

export const familyOf = (address: string): Family => parseAddress(address).family;
export const addressFamily = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);
