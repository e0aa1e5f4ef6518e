import * as v from 'valibot';
import { formatCidr, parseCidr, type Cidr } from '../model/address.ts';
import { messageOf } from '../model/errors.ts';
import type { UnknownFields } from '../model/unknown-fields.ts';
import {
  count,
  decode,
  guarded,
  isoTime,
  schemaVersion,
  SCHEMA_VERSION,
  text,
  time,
  unknownFieldsOf,
} from './codec.ts';
import type { Entry } from './transaction.ts';

/**
 * Keys of nodes on which attachments live whose addresses are in no range of etcd: etcd forgot, or
 * was set back. The node's agent writes the record, and deletes it when a range has the addresses.
 */
export const LOST = 'lost/';
export const lostKey = (node: string): string => `${LOST}${node}`;

const lostRecord = v.looseObject({
  v: schemaVersion,
  at: time,
  subnets: v.array(v.looseObject({ cidr: text, attachments: count })),
});

export interface LostSubnet {
  /** As the attachments have it: the subnet of the range that etcd had. */
  readonly cidr: Cidr;
  /** Number of attachments on the node with an address of the subnet. */
  readonly attachments: number;
}

export interface LostNode {
  readonly node: string;
  /** When the agent last saw it, in milliseconds since 1970. */
  readonly at: number;
  readonly subnets: readonly LostSubnet[];
  readonly unknownFields?: UnknownFields;
}

export function encodeLost({ at, subnets, unknownFields }: Omit<LostNode, 'node'>): string {
  const record: v.InferInput<typeof lostRecord> = {
    v: SCHEMA_VERSION,
    at: isoTime(at),
    subnets: subnets.map(({ cidr, attachments }) => ({ cidr: formatCidr(cidr), attachments })),
  };
  return JSON.stringify({ ...record, ...unknownFields });
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeLost(key: string, value: string): LostNode {
  const { v: _, at, subnets, ...rest } = decode(lostRecord, key, value);
  return guarded(key, () => ({
    node: key.slice(LOST.length),
    at,
    subnets: subnets.map(({ cidr, attachments }) => ({ cidr: parseCidr(cidr, 'subnets.cidr'), attachments })),
    ...unknownFieldsOf(rest),
  }));
}

/** All nodes that lost something. A record that cannot be read is listed and hides no other. */
export interface Lost {
  /** Sorted by node. */
  readonly nodes: readonly LostNode[];
  readonly unreadable: readonly { readonly key: string; readonly reason: string }[];
}

/** @param entries those below {@link LOST} */
export function lostOf(entries: readonly Entry[]): Lost {
  const nodes: LostNode[] = [];
  const unreadable: { key: string; reason: string }[] = [];
  for (const { key, value } of entries) {
    try {
      nodes.push(decodeLost(key, value));
    } catch (error) {
      unreadable.push({ key, reason: messageOf(error) });
    }
  }
  return { nodes, unreadable };
}
