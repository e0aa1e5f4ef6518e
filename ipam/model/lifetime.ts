import type { Address } from './address.ts';
import type { Owner } from './attachment.ts';

/** Why an address was released. */
export const RELEASE_REASONS = [
  /** The runtime's DEL. */
  'del',
  /** A deferred teardown: etcd or Open vSwitch was unreachable at the time of the DEL. */
  'put-off',
  /** The runtime's GC: it did not list the attachment as valid. */
  'gc',
  /** The ADD failed after it had allocated the address. */
  'undo',
  /** Another host was seen to use the address, so the address is set aside. */
  'conflict',
  /** An operator named the address. */
  'operator',
  /** A check found the address leaked: no pod had it any more. */
  'leaked',
  /** The same pod's interface got a newer container. */
  'superseded',
  /** The node rebooted, and the container did not start again. */
  'reboot',
  /** The node found no living container that had the address. */
  'reconcile',
  /** The node was drained. */
  'node-drained',
  /** The node was removed from the cluster. */
  'node-removed',
] as const;

export type ReleaseReason = (typeof RELEASE_REASONS)[number];

interface Told {
  /** A more precise reason, such as the kind of leak: `pod-gone`. */
  readonly detail?: string;
  /** The operator who ran the tool, as `alice@admin-1`; absent if the node itself released it. */
  readonly by?: string;
}

/** Why an address is released, and by whom. Every release states one. */
export type ReleaseCause = Told &
  (
    | { readonly why: Exclude<ReleaseReason, 'conflict'> }
    /** With the MAC of the other host. The address is set aside. */
    | { readonly why: 'conflict'; readonly conflictMac: string }
  );

/** A past allocation: the time for which an owner had an address. */
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
