import * as v from 'valibot';
import { parseCidr, type Cidr } from '../model/address.ts';
import { decode, guarded, isoTime, schemaVersion, SCHEMA_VERSION, text, time } from './codec.ts';
import { cidrTextOf, NODES, nodePrefix } from './keys.ts';

const nodeRecord = v.looseObject({ v: schemaVersion, range: text, claimedAt: time });

/** An entry of a node's index: it locates a block, so that IPAM reads no other node's blocks. */
export interface NodeEntry {
  readonly range: string;
  readonly cidr: Cidr;
  readonly claimedAt: number;
}

export function encodeNodeEntry(entry: Omit<NodeEntry, 'cidr'>): string {
  const record: v.InferInput<typeof nodeRecord> = {
    v: SCHEMA_VERSION,
    range: entry.range,
    claimedAt: isoTime(entry.claimedAt),
  };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record` */
export function decodeNodeEntry(key: string, value: string): NodeEntry {
  const record = decode(nodeRecord, key, value);
  return guarded(key, () => ({
    range: record.range,
    cidr: parseCidr(cidrTextOf(key), 'key'),
    claimedAt: record.claimedAt,
  }));
}

/**
 * The mark of a draining node lies in the index of its blocks. So IPAM reads it with the index at
 * no extra cost, and a writer with an index read before the mark was set loses the race
 * (decision 17).
 */
const MARK = 'draining';
const markRecord = v.looseObject({ v: schemaVersion, since: time });

export const drainKey = (node: string): string => `${nodePrefix(node)}${MARK}`;

/** Returns whether a key below `nodes/` is the mark of a draining node and not an index entry. */
export function isDrainKey(key: string): boolean {
  const [, , ...rest] = key.split('/');
  return key.startsWith(NODES) && rest.length === 1 && rest[0] === MARK;
}

export function encodeDrainMark(since: number): string {
  const record: v.InferInput<typeof markRecord> = { v: SCHEMA_VERSION, since: isoTime(since) };
  return JSON.stringify(record);
}

/**
 * Decodes any record below `nodes/`.
 * @returns undefined for a drain mark
 * @throws IpamError `corrupt-record`
 */
export function decodeNodeRecord(key: string, value: string): NodeEntry | undefined {
  if (!isDrainKey(key)) return decodeNodeEntry(key, value);
  decodeDrainMark(key, value);
  return undefined;
}

/**
 * Returns since when the node is draining, in milliseconds since 1970.
 * @throws IpamError `corrupt-record`
 */
export const decodeDrainMark = (key: string, value: string): number => decode(markRecord, key, value).since;
