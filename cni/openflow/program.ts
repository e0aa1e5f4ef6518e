/**
 * What makes a bridge's program (flows, groups and meters), the changes of it, and what else the
 * agent asks of the switch. Values only; `changes.ts` and `bundle.ts` write them as messages.
 */
import type { Action } from './actions.ts';
import type { FieldName, FieldValue } from './fields.ts';

/** A flow. Two flows with the same table, priority and match are one: the later replaces it. */
export interface Flow {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  /** A field comes after those that it depends on, for example `ip_proto` after `eth_type`. */
  readonly match: readonly FieldValue[];
  /** Empty: drops the packet. */
  readonly actions: readonly Action[];
  /** The flow goes after so many seconds without a packet, at most 65,535. Absent: it stays. */
  readonly idleSeconds?: number;
}

export interface Bucket {
  /** Unique in its group. */
  readonly id: number;
  /** The share of connections that it gets, of the sum of all. */
  readonly weight: number;
  /**
   * First `set` and `copy`, then one of `output`, `group`, `resubmit`, `ct` and `ct-clear`: Open
   * vSwitch ignores any other in a bucket. A table that the packet is sent to can have them.
   */
  readonly actions: readonly Action[];
}

/** A group that sends each connection to one of its buckets. */
export interface SelectGroup {
  readonly id: number;
  readonly buckets: readonly Bucket[];
  /** How the switch chooses a bucket. Absent: as its version does, which may not look at ports. */
  readonly selection?: Selection;
}

/** Each connection gets one bucket, by a hash (ovs-ofctl(8), "selection_method"). */
export type Selection =
  /** The datapath computes it, of addresses, protocol and ports. For at most 256 buckets. */
  | { readonly method: 'dp_hash' }
  /** Packets with the same values of these fields get the same bucket. */
  | { readonly method: 'hash'; readonly fields: readonly FieldName[] };

/** Drops what exceeds the rate. */
export interface Meter {
  readonly id: number;
  /** `kbps`: kilobits (1,000 bits) a second. `packets`: packets a second. */
  readonly unit: 'kbps' | 'packets';
  /** In the unit. */
  readonly rate: number;
  /** In kilobits or in packets. */
  readonly burst: number;
}

/** One change. Flows of other cookies are left alone by `delete-flows`. */
export type Modification =
  | { readonly kind: 'put-flow'; readonly flow: Flow }
  | { readonly kind: 'delete-flow'; readonly flow: Pick<Flow, 'table' | 'priority' | 'match' | 'cookie'> }
  /** All flows whose cookie has these bits. */
  | { readonly kind: 'delete-flows'; readonly cookie: bigint; readonly mask: bigint }
  /** Adds or changes the group. A group of more than 64 kB takes `groupModifications`. */
  | { readonly kind: 'put-group'; readonly group: SelectGroup }
  /** Adds buckets to a group, after those that it has. */
  | { readonly kind: 'add-buckets'; readonly id: number; readonly buckets: readonly Bucket[] }
  | { readonly kind: 'delete-group'; readonly id: number }
  | { readonly kind: 'add-meter' | 'change-meter'; readonly meter: Meter }
  | { readonly kind: 'delete-meter'; readonly id: number };

/** Changes that may be made only as they are sent, so that nobody keeps all of them at once. */
export interface Batch extends Iterable<Modification> {
  /** Absent: nobody knows before all are made. */
  readonly length?: number;
}

/** Addresses and ports of one direction of a connection. An absent one is any. */
export interface ConnectionTuple {
  readonly src?: bigint;
  readonly dst?: bigint;
  readonly srcPort?: number;
  readonly dstPort?: number;
}

/** Makes the connection tracker forget connections. Not for a bundle. */
export interface Flush {
  readonly kind: 'flush-connections';
  readonly zone: number;
  /** Of IP: 6 for TCP, 17 for UDP. */
  readonly protocol: number;
  /** Of the tuples' addresses. */
  readonly family: 4 | 6;
  /** As the first packet came, before any translation of it. */
  readonly original?: ConnectionTuple;
  /** As replies come, after translation of the original direction. */
  readonly reply?: ConnectionTuple;
}
