import * as v from 'valibot';
import { CONTAINER_ID_FORM, IFNAME_FORM, isContainerId, isIfname } from '../model/attachment.ts';
import { IpamError, messageOf } from '../model/errors.ts';
import type { UnknownFields } from '../model/unknown-fields.ts';
import { decodeValue } from './decode.ts';

/**
 * Values in etcd are JSON with a schema version. A reader refuses a version that it does not know:
 * it never guesses. A reader keeps unknown fields and writes them back, so that a later release can
 * add a field without a new version.
 */
export const SCHEMA_VERSION = 1;

export const schemaVersion = v.literal(SCHEMA_VERSION);

/** The last time that {@link isoTime} writes in the usual form, in milliseconds since 1970. */
const LATEST = Date.parse('9999-12-31T23:59:59.999Z');

/** Whether a time, in milliseconds since 1970, can be written and read again. */
export const isTime = (ms: number): boolean => ms >= 0 && ms <= LATEST;

export const time = v.pipe(
  v.string(),
  v.isoTimestamp(),
  v.check(
    (text) => isTime(Date.parse(text)) && isDayOfMonth(text),
    'a time from 1970 to 9999, such as "2026-01-31T12:00:00.000Z"',
  ),
  v.transform((text) => Date.parse(text)),
);
/** The same as a number of milliseconds since 1970. */
export const milliseconds = v.pipe(
  v.number(),
  v.check((ms) => Number.isInteger(ms) && isTime(ms), 'milliseconds since 1970, until the year 9999'),
);
export const count = v.pipe(
  v.number(),
  v.check((n) => Number.isSafeInteger(n) && n >= 0, 'a whole number below 2^53'),
);

/**
 * The largest sequence that is read. It leaves as many changes again as a block has in 140 years at
 * a million a second, and each of them counts exactly.
 */
export const MAX_SEQUENCE = 2 ** 52;
export const sequence = v.pipe(
  v.number(),
  v.check((n) => Number.isInteger(n) && n >= 0 && n <= MAX_SEQUENCE, 'a whole number from 0 to 2^52'),
);
export const text = v.pipe(v.string(), v.nonEmpty());
export const containerId = v.pipe(v.string(), v.check(isContainerId, `a container ID: ${CONTAINER_ID_FORM}`));
export const ifname = v.pipe(v.string(), v.check(isIfname, `the name of a link: ${IFNAME_FORM}`));

/** Date.parse takes 31 February for 2 March. */
function isDayOfMonth(text: string): boolean {
  const day = text.slice(0, 10);
  return new Date(`${day}T00:00:00Z`).getUTCDate() === Number(day.slice(8));
}

export const isoTime = (ms: number): string => new Date(ms).toISOString();

/**
 * Returns the fields that a later release added, as a property to spread; empty if there are none.
 * @param rest the decoded record without its known fields
 */
export function unknownFieldsOf(rest: UnknownFields): { readonly unknownFields?: UnknownFields } {
  return Object.keys(rest).length > 0 ? { unknownFields: rest } : {};
}

/** Refuses a value stored under the wrong key: it would describe other addresses. */
export function checkKey(key: string, own: string): void {
  if (key === own) return;
  throw new IpamError('corrupt-record', `etcd key '${key}' holds the value of '${own}'`);
}

/**
 * @param newest version that the reader knows
 * @throws IpamError `corrupt-record`, naming the key, the field and what was expected
 */
export function decode<T extends v.GenericSchema>(
  schema: T,
  key: string,
  value: string,
  newest = SCHEMA_VERSION,
): v.InferOutput<T> {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch (cause) {
    throw new IpamError('corrupt-record', `etcd key '${key}' holds no JSON: ${excerpt(value)}`, { cause });
  }
  refuseNewer(key, json, newest);
  const result = decodeValue(schema, json);
  if (result.ok) return result.value;
  throw new IpamError('corrupt-record', `etcd key '${key}': ${result.problem.message}`);
}

/** Refuses a record of a later release before its fields, which may mean something else there. */
function refuseNewer(key: string, json: unknown, newest: number): void {
  if (typeof json !== 'object' || json === null || !('v' in json)) return;
  if (typeof json.v !== 'number' || !(json.v > newest)) return;
  throw new IpamError(
    'corrupt-record',
    `etcd key '${key}' was written by a newer cellnet: its version is ${json.v}, and this one reads ${newest}`,
    { remedy: 'Upgrade the cellnet that tells this; it changes nothing in the record.' },
  );
}

/** @throws IpamError `corrupt-record`, naming the key */
export function guarded<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = messageOf(cause);
    throw new IpamError('corrupt-record', `etcd key '${key}': ${reason}`, { cause });
  }
}

const excerpt = (value: string): string =>
  JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
