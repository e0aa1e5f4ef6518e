import * as v from 'valibot';
import { parseCidr, type Cidr } from '../model/address.ts';
import { decode, guarded, isoTime, schemaVersion, SCHEMA_VERSION, text, time } from './codec.ts';
import { NODES, nodePrefix } from './keys.ts';

const nodeRecord = v.looseObject({ v: schemaVersion, range: text, claimedAt: time });

/** A node's index of its blocks: where to look for them, so that no other node's are read. */
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
  const cidrText = key.split('/').slice(2).join('/');
  return guarded(key, () => ({
    range: record.range,
    cidr: parseCidr(cidrText, 'key'),
    claimedAt: record.claimedAt,
  }));
}

/**
 * The mark of a draining node lies among the index of its blocks: so it is read with it, at no further cost, and whoever stands on
 * an index that was read before it was set loses the race (decision 17).
 */
const MARK = 'draining';
const markRecord = v.looseObject({ v: schemaVersion, since: time });

export const drainKey = (node: string): string => `${nodePrefix(node)}${MARK}`;

/** Whether a key below `nodes/` is the mark of a draining node, and no entry of an index. */
export function isDrainKey(key: string): boolean {
  const [, , ...rest] = key.split('/');
  return key.startsWith(NODES) && rest.length === 1 && rest[0] === MARK;
}

export function encodeDrainMark(since: number): string {
  const record: v.InferInput<typeof markRecord> = { v: SCHEMA_VERSION, since: isoTime(since) };
  return JSON.stringify(record);
}

/** @returns since when, in milliseconds since 1970. @throws IpamError `corrupt-record` */
export const decodeDrainMark = (key: string, value: string): number => decode(markRecord, key, value).since;
