/* Readers of fields that Services and EndpointSlices share. */
import { isIP } from 'node:net';
import { asArray, asObject, asOptionalText, asText, DecodeError, type Intern, type Json } from './decode.ts';

export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

const NO_FIELDS: Json = {};
const NO_ITEMS: readonly never[] = [];

/** Go writes a nil pointer or map as null, or omits it. */
export function optionalObject(value: unknown, path: string): Json {
  return value === undefined || value === null ? NO_FIELDS : asObject(value, path);
}

/** Decodes each item. Go writes a nil slice as null, or omits it: both are the empty list. */
export function eachOf<T>(
  value: unknown,
  path: string,
  decode: (item: unknown, path: string) => T,
): readonly T[] {
  if (value === undefined || value === null) return NO_ITEMS;
  const items = asArray(value, path);
  return items.length === 0 ? NO_ITEMS : items.map((item, i) => decode(item, `${path}[${i}]`));
}

/** @param absent the API's default, which older servers do not write */
export function oneOf<T extends string>(
  value: unknown,
  path: string,
  allowed: readonly T[],
  absent: NoInfer<T>,
): T {
  const text = asOptionalText(value, path);
  if (text === undefined) return absent;
  const known = allowed.find((each) => each === text);
  if (known === undefined) throw new DecodeError(path, allowed.join(' or '), value);
  return known;
}

export function optionalBoolean(value: unknown, path: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw new DecodeError(path, 'true or false', value);
  return value;
}

export function wholeNumber(value: unknown, path: string, lowest: number, highest: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest)
    return value;
  throw new DecodeError(path, `a whole number from ${lowest} to ${highest}`, value);
}

export const portNumber = (value: unknown, path: string): number => wholeNumber(value, path, 1, 65_535);

/** Returns a port's name, or '' where it has none. */
export const portName = (value: unknown, path: string, intern: Intern): string =>
  intern(asOptionalText(value, path) ?? '');

export const protocol = (value: unknown, path: string): Protocol => oneOf(value, path, PROTOCOLS, 'TCP');

/**
 * Returns the address as the server writes it. The API accepts an IPv4 address with leading zeros
 * from old clients. kube-proxy reads its bytes as decimal numbers, and so does this function.
 */
export function ipAddress(value: unknown, path: string): string {
  const text = asText(value, path);
  const plain = /^\d+(\.\d+){3}$/.test(text) ? text.replace(/\b0+(?=\d)/g, '') : text;
  if (isIP(plain) === 0 || plain.includes('%')) throw new DecodeError(path, 'an IP address', value);
  return plain;
}

/** Returns `address/length`. The API accepts spaces around it. */
export function subnet(value: unknown, path: string): string {
  const [address = '', length = '', ...rest] = asText(value, path).trim().split('/');
  const refuse = (): never => {
    throw new DecodeError(path, 'a subnet such as 203.0.113.0/24', value);
  };
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) refuse();
  const plain = address === '' ? refuse() : ipAddress(address, path);
  if (Number(length) > (isIP(plain) === 4 ? 32 : 128)) refuse();
  return `${plain}/${length}`;
}

/** Returns undefined where the object does not have the label. A label may be empty. */
export function label(metadata: Json, key: string): string | undefined {
  const value = optionalObject(metadata['labels'], 'metadata.labels')[key];
  if (value === undefined || typeof value === 'string') return value;
  throw new DecodeError(`metadata.labels['${key}']`, 'a text', value);
}
