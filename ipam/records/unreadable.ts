import type { Cidr } from '../model/address.ts';
import { IpamError, remedyOf } from '../model/errors.ts';
import { BLOCKS, cidrOfBlockKey } from './keys.ts';
import type { Entry } from './transaction.ts';

/**
 * A record that this version cannot use: it is damaged, of a newer version, stored under a wrong
 * key, or does not fit its range. IPAM leaves it as it is, gives nothing out of it, and goes on
 * with all other records.
 */
export interface UnreadableRecord {
  readonly key: string;
  /** What is wrong, in a sentence that names the key. */
  readonly reason: string;
}

/** A decoded value, or what is wrong with its record. */
export type Read<T> = { readonly value: T } | { readonly unreadable: UnreadableRecord };

/**
 * Decodes a record and returns a corrupt one as a value, because it must not end the work on
 * others. Any other error passes.
 */
export function readRecord<T>(
  { key, value }: Pick<Entry, 'key' | 'value'>,
  decode: (key: string, value: string) => T,
): Read<T> {
  try {
    return { value: decode(key, value) };
  } catch (error) {
    if (!(error instanceof IpamError) || error.code !== 'corrupt-record') throw error;
    return { unreadable: { key, reason: error.message } };
  }
}

export const valuesOf = <T>(reads: readonly Read<T>[]): T[] =>
  reads.flatMap((read) => ('value' in read ? [read.value] : []));

export const unreadableOf = (reads: readonly Read<unknown>[]): UnreadableRecord[] =>
  reads.flatMap((read) => ('unreadable' in read ? [read.unreadable] : []));

/** Returns the subnets of the blocks among the records: every address in them may be in use. */
export const hiddenBy = (unreadable: readonly UnreadableRecord[]): Cidr[] =>
  unreadable.flatMap(({ key }) => (key.startsWith(BLOCKS) ? (cidrOfBlockKey(key) ?? []) : []));

/** Returns the error for work that needs this very record: `corrupt-record`. */
export function unreadableError({ reason }: UnreadableRecord): IpamError {
  return new IpamError('corrupt-record', reason);
}

/** Returns the remedy of an error that may come from these records alone; else none. */
export const remedyFor = (unreadable: readonly UnreadableRecord[]): { readonly remedy?: string } =>
  unreadable.length > 0 ? { remedy: remedyOf('corrupt-record') } : {};

const NAMED = 3;

/**
 * Returns an end for a message whose answer would need these records too, beginning with `; `. It
 * names the first three. Empty if there are none.
 */
export function notCounted(unreadable: readonly UnreadableRecord[]): string {
  if (unreadable.length === 0) return '';
  const more = unreadable.length > NAMED ? `; and ${unreadable.length - NAMED} more` : '';
  const reasons = unreadable.slice(0, NAMED).map(({ reason }) => reason);
  return `; not counted, because it cannot be read: ${reasons.join('; ')}${more}`;
}
