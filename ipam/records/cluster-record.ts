import * as v from 'valibot';
import type { UnknownFields } from '../model/unknown-fields.ts';
import { decode, isoTime, schemaVersion, SCHEMA_VERSION, text, time, unknownFieldsOf } from './codec.ts';

/** Keys about the cluster that the records belong to. */
export const CLUSTER = 'cluster/';
export const KUBERNETES_KEY = `${CLUSTER}kubernetes`;

const clusterRecord = v.looseObject({ v: schemaVersion, uid: text, since: time });

/** The Kubernetes cluster whose pods have the addresses. */
export interface ClusterRecord {
  /** UID of the namespace kube-system, which lives as long as its cluster. */
  readonly uid: string;
  /** When the record was written, in milliseconds since 1970. */
  readonly since: number;
  readonly unknownFields?: UnknownFields;
}

export function encodeCluster({ uid, since, unknownFields }: ClusterRecord): string {
  const record: v.InferInput<typeof clusterRecord> = { v: SCHEMA_VERSION, uid, since: isoTime(since) };
  return JSON.stringify({ ...record, ...unknownFields });
}

/** @throws IpamError `corrupt-record` */
export function decodeCluster(key: string, value: string): ClusterRecord {
  const { v: _, uid, since, ...rest } = decode(clusterRecord, key, value);
  return { uid, since, ...unknownFieldsOf(rest) };
}
