import { formatAddress, formatCidr, type Address } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { slotAddress, type Block } from '../model/block.ts';
import type { Keep } from '../model/keep.ts';
import { macOf } from '../model/mac.ts';
import { isoTime } from '../records/codec.ts';

/** What can happen. docs/operations/events.md describes each. */
export const EVENT_TYPES = [
  'assigned',
  'released',
  'kept',
  'moved',
  'condemned',
  'pardoned',
  'conflict',
  'keep-changed',
  'block-claimed',
  'block-moved',
  'block-returned',
  'range-added',
  'range-changed',
  'range-removed',
  'rule-added',
  'rule-changed',
  'rule-removed',
  'node-joined',
  'node-replaced',
  'node-removed',
  'node-alive',
  'node-silent',
  'node-draining',
  'node-undrained',
  'set-back',
  'unreadable',
  'gap',
  'synced',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export interface EventPod {
  readonly namespace: string | null;
  readonly name: string | null;
  readonly uid: string | null;
}

/** What happened, without its place in the stream. As scripts read it: times are ISO 8601. */
export interface Happening {
  readonly type: EventType;
  /** By the record; null where no record tells. */
  readonly at: string | null;
  readonly ip: string | null;
  readonly range: string | null;
  readonly block: string | null;
  readonly node: string | null;
  readonly pod: EventPod | null;
  readonly containerId: string | null;
  readonly ifname: string | null;
  /** As cellnet derives it from the addresses. A pod that asked for another MAC has that. */
  readonly mac: string | null;
  readonly network?: string;
  /** Of the allocation: with the block it identifies it. */
  readonly sequence?: number;
  readonly allocatedAt?: string;
  readonly why?: string;
  readonly detail?: string;
  readonly by?: string;
  readonly conflictMac?: string;
  readonly keep?: KeepJson | null;
  readonly fromNode?: string;
  readonly cidr?: string;
  readonly gateway?: string | null;
  readonly vlan?: number | null;
  readonly state?: string;
  readonly rule?: string;
  readonly machine?: string;
  readonly reason?: string;
  readonly key?: string;
  /** Of a gap: revisions between these are not told one by one. */
  readonly from?: number;
  readonly to?: number;
  /** Of a gap: whether all that changed is told behind it. */
  readonly complete?: boolean;
  /** It is the state of a moment, told to somebody who begins. */
  readonly initial?: true;
  /** It is told by records that etcd had later. */
  readonly recorded?: true;
}

export interface KeepJson {
  readonly rule: string;
  readonly forMs: number | null;
  readonly anyPod: boolean;
  readonly since: string;
}

/** A happening with its place in the stream. */
export type CellEvent = Happening & {
  readonly revision: number;
  /** Behind this event: where a reader goes on that was cut off after it. Null: from the start. */
  readonly position: string | null;
};

const NOTHING = {
  ip: null,
  range: null,
  block: null,
  node: null,
  pod: null,
  containerId: null,
  ifname: null,
  mac: null,
};

/** @param at milliseconds since 1970 */
export const happening = (
  type: EventType,
  at: number | undefined,
  more: Partial<Omit<Happening, 'type' | 'at'>>,
): Happening => ({ type, at: at === undefined ? null : isoTime(at), ...NOTHING, ...more });

/** Names of the owner of an address, or of the pod for which it is kept. */
export type Named = Partial<
  Pick<Owner, 'containerId' | 'ifname' | 'network' | 'podNamespace' | 'podName' | 'podUid'>
>;

/** @param node of the attachment; default: the block's */
export function addressHappening(
  type: EventType,
  at: number | undefined,
  where: { readonly block: Block; readonly index: number; readonly node?: string },
  owner: Named,
  more: Partial<Happening> = {},
): Happening {
  const { block, index, node = block.node } = where;
  const address = slotAddress(block, index);
  return happening(type, at, {
    ip: formatAddress(address),
    range: block.range,
    block: formatCidr(block.cidr),
    node,
    pod: podOf(owner),
    containerId: owner.containerId ?? null,
    ifname: owner.ifname ?? null,
    mac: macOfIpv4(address),
    ...(owner.network !== undefined && { network: owner.network }),
    ...more,
  });
}

/** An IPv6 address tells nothing of the MAC where its attachment has an IPv4 address, too. */
const macOfIpv4 = (address: Address): string | null => (address.family === 4 ? macOf([address]) : null);

function podOf({ podNamespace, podName, podUid }: Named): EventPod | null {
  if (podName === undefined && podUid === undefined) return null;
  return { namespace: podNamespace ?? null, name: podName ?? null, uid: podUid ?? null };
}

export const keepJson = ({ rule, forMs, anyPod, since }: Keep): KeepJson => ({
  ...{ rule, forMs: forMs ?? null, anyPod: anyPod ?? false },
  since: isoTime(since),
});
