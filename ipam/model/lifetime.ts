import type { Address } from './address.ts';
import type { Owner } from './attachment.ts';

/** Why an address was taken back. */
export const RELEASE_REASONS = [
  /** The runtime's DEL. */
  'del',
  /** A teardown that had been put off, for etcd or Open vSwitch was away. */
  'put-off',
  /** The runtime's GC: the attachment is none of those that it named as valid. */
  'gc',
  /** The ADD failed after it had the address. */
  'undo',
  /** A stranger was heard to use the address: it is set aside. */
  'conflict',
  /** An operator named the address. */
  'operator',
  /** Found leaked by a check: no pod had it any more. */
  'leaked',
  /** The same pod's interface came again with another container. */
  'superseded',
  /** The node started anew, and the container did not. */
  'reboot',
  /** The node found nothing alive that had it. */
  'reconcile',
  /** The node was drained. */
  'node-drained',
  /** The node was removed from the cluster. */
  'node-removed',
] as const;

export type ReleaseReason = (typeof RELEASE_REASONS)[number];

interface Told {
  /** More of it in a word, such as the reason of a leak: `pod-gone`. */
  readonly detail?: string;
  /** Who, where it was not the node itself: whoever ran the operator's tool, as `alice@admin-1`. */
  readonly by?: string;
}

/** Why an address is taken back, and by whom: everything that takes one back says it. */
export type ReleaseCause = Told &
  (
    | { readonly why: Exclude<ReleaseReason, 'conflict'> }
    /** With the MAC of the stranger: the address is set aside. */
    | { readonly why: 'conflict'; readonly conflictMac: string }
  );

/** A time for which an owner had an address, and that is over. */
export interface Lifetime {
  readonly address: Address;
  readonly node: string;
  readonly owner: Omit<Owner, 'bootId'>;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
  /** Milliseconds since 1970. */
  readonly releasedAt: number;
  readonly cause: ReleaseCause;
}
