import * as v from 'valibot';
import { decode, isoTime, schemaVersion, SCHEMA_VERSION, text, time } from './codec.ts';

/** The cluster's latest loss of records: some node has found that etcd forgot what it held. */
export const SET_BACK = 'cluster/set-back';

/**
 * How long after a set-back IPAM distrusts what etcd calls free, in milliseconds. Every agent
 * writes back what lives on its node within a minute or two; this leaves time for nodes that are
 * down.
 */
export const DISTRUST_MS = 3_600_000;

const setBackRecord = v.looseObject({ v: schemaVersion, at: time, node: text, reason: text });

export interface SetBack {
  /** When it was found, in milliseconds since 1970. */
  readonly at: number;
  /** The node that found it. */
  readonly node: string;
  readonly reason: string;
}

export function encodeSetBack({ at, node, reason }: SetBack): string {
  const record: v.InferInput<typeof setBackRecord> = { v: SCHEMA_VERSION, at: isoTime(at), node, reason };
  return JSON.stringify(record);
}

/** @throws IpamError `corrupt-record` */
export function decodeSetBack(key: string, value: string): SetBack {
  const { at, node, reason } = decode(setBackRecord, key, value);
  return { at, node, reason };
}

/**
 * Returns whether new addresses must be proven free on the wire at this time. A set-back in the
 * future comes from a clock that differs, so it counts too.
 */
export function isDistrusted(setBack: SetBack | undefined, now: number): boolean {
  return setBack !== undefined && now - setBack.at < DISTRUST_MS;
}

/** A set-back that was told less than this many milliseconds ago is not told again. */
const TELL_AGAIN_MS = 600_000;

/** Returns whether the set-back was told so recently that a node need not tell it again. */
export function isFresh(setBack: SetBack | undefined, now: number): boolean {
  return setBack !== undefined && now - setBack.at < TELL_AGAIN_MS;
}
