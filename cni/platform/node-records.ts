import * as v from 'valibot';
import { parseAddressInSubnet, type Address } from '../../ipam/model/address.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Fence } from '../../ipam/node/fence.ts';
import { containerId, count, ifname, milliseconds } from '../../ipam/records/codec.ts';
import { etcdSchema, ovsdbTlsSchema } from '../../ipam/settings/settings.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { MIRROR_ROLES } from '../protocol/mirrors.ts';
import { IF_RESULT } from '../protocol/result.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

const text = v.pipe(v.string(), v.nonEmpty());

const commonRecord = v.looseObject({
  v: v.literal(1),
  network: v.string(),
  containerId,
  ifname,
  /** Type of the IPAM plugin that assigned the addresses. */
  ipamType: v.optional(text),
  etcd: etcdSchema,
  node: text,
  bridge: text,
  ovsdb: text,
  ovsdbTls: v.optional(ovsdbTlsSchema),
  /** MTU of the link in bytes. Absent when another main plugin created the link. */
  mtu: v.optional(count),
  /** Milliseconds since 1970. */
  createdAt: milliseconds,
});

/** What cellnet-ipam allocated. Absent in records of versions that did not keep it. */
const allocations = v.optional(
  v.array(
    v.looseObject({
      /** With the prefix length of the range: `10.20.0.17/22`. */
      address: text,
      /** Name of the range. */
      range: text,
      /** Name of the rule whose own block it is of. */
      rule: v.optional(text),
      /** Milliseconds since 1970. */
      allocatedAt: v.number(),
    }),
  ),
);

/**
 * What the ADD set of the port in Open vSwitch, so that the node can make it again. Absent when
 * another main plugin made the interface, and in records of versions that did not keep it.
 */
const port = v.optional(
  v.looseObject({
    /** Access VLAN. Absent: a trunk. */
    tag: v.optional(count),
    trunks: v.array(count),
    ofportRequest: v.optional(count),
    externalIds: v.record(v.string(), v.string()),
    mirrors: v.optional(v.array(v.object({ name: text, roles: v.array(v.picklist(MIRROR_ROLES)) }))),
  }),
);

const rate = v.optional(v.object({ kbps: count, burstKbit: count }));
const limits = v.optional(v.object({ source: v.optional(v.array(text)), fromPod: rate, toPod: rate }));

export const attachmentRecord = v.looseObject({
  ...commonRecord.entries,
  /** ID of the boot in which the attachment was made. */
  bootId: v.optional(text),
  /**
   * The pod's namespace: its path, and an ID that distinguishes it from others at that path
   * (`Namespaces.identify`).
   */
  netns: v.optional(v.looseObject({ path: text, id: text })),
  allocations,
  /**
   * What another IPAM plugin gave. Absent where cellnet-ipam did, as long as the plugin has not
   * answered, and in records of versions that did not keep it.
   */
  delegated: v.optional(IF_RESULT),
  port,
  /** What the bridge holds the pod to. Absent: nothing. */
  limits,
  /** MAC of the pod's end. Absent when another main plugin made the interface. */
  mac: v.optional(text),
  podNamespace: v.optional(text),
  podName: v.optional(text),
  podUid: v.optional(text),
});

export const pendingRecord = v.looseObject({
  ...commonRecord.entries,
  /** The teardown covers what was assigned at or before this time, in milliseconds since 1970. */
  until: milliseconds,
  /** False when another main plugin created the interface, so that only the address is ours. */
  wire: v.boolean(),
  /** As its record named them: one of them may be in a block that cannot be read now. */
  allocations,
});

/** What a teardown needs to know about an attachment. */
export type CommonRecord = v.InferOutput<typeof commonRecord>;

/**
 * What an ADD used, so that a DEL with a reduced configuration still finds it. Contains no secret.
 */
export type AttachmentRecord = v.InferOutput<typeof attachmentRecord>;

/** A teardown that is deferred because etcd or OVSDB did not answer. */
export type PendingTeardown = v.InferOutput<typeof pendingRecord>;

/** Returns the addresses that the record names; undefined if it names none. */
export const addressesOf = (
  record: Pick<AttachmentRecord, 'allocations'> | undefined,
): Address[] | undefined => record?.allocations?.map(({ address }) => parseAddressInSubnet(address).address);

/** Returns true when our IPAM assigned the addresses. */
export const isOurIpam = ({ ipamType }: Pick<CommonRecord, 'ipamType'>): boolean =>
  ipamType === undefined || ipamType === OUR_IPAM;

/** Returns true when this plugin created link and port, false when it served only as IPAM. */
export const isOurInterface = ({ mtu }: Pick<CommonRecord, 'mtu'>): boolean => mtu !== undefined;

/** Returns the Open vSwitch that has the attachment's port. */
export const switchOf = ({
  ovsdb,
  ovsdbTls = {},
}: Pick<CommonRecord, 'ovsdb' | 'ovsdbTls'>): SwitchAddress => ({
  ovsdb,
  ovsdbTls,
});

/** The node's own records. A record that cannot be read counts as absent. */
export interface NodeRecords {
  saveAttachment(record: AttachmentRecord): void;
  readAttachment(attachment: Attachment): AttachmentRecord | undefined;
  listAttachments(): AttachmentRecord[];
  /** @param uncarried true after {@link uncarry}, which this does otherwise */
  removeAttachment(attachment: Attachment, uncarried?: boolean): void;
  /**
   * Notes that the attachment uses the addresses of its record, which must be saved. From now on no
   * process of the node gives them to another attachment.
   * @throws CniError 11 naming the other attachment that uses one of them, 5
   */
  carry(record: AttachmentRecord): void;
  /** Ends that. The record stays. */
  uncarry(attachment: Attachment): void;
  /** Returns every address that an attachment uses, as text. */
  carriedAddresses(): string[];
  /** Returns the attachment that uses the address, by its record; undefined if none does. */
  carrierOf(address: string): AttachmentRecord | undefined;
  /** Returns whether an attachment other than this one uses the address. Cheap. */
  isCarriedByOther(address: string, attachment: Attachment): boolean;
  /** Returns the newest state that this node has seen of the blocks of a node in one etcd. */
  readFence(place: string): Fence | undefined;
  saveFence(place: string, fence: Fence): void;
  /** Notes durably that this machine runs in this boot. Does nothing when that is noted. */
  noteBoot(bootId: string): void;
  /** Returns whether this disk has seen the boot. */
  knowsBoot(bootId: string): boolean;
  /** Makes the record durable before it returns. @throws CniError 5 */
  savePending(record: PendingTeardown): void;
  readPending(attachment: Attachment): PendingTeardown | undefined;
  /** Returns the pending teardowns, oldest first. @throws CniError 5 */
  listPending(): PendingTeardown[];
  /** Returns the number of pending teardowns, readable or not. @throws CniError 5 */
  countPending(): number;
  removePending(attachment: Attachment): void;
  /**
   * Removes unfinished files that killed writes left beside the records, and entries of addresses
   * whose record is gone.
   * @param now milliseconds since 1970
   */
  sweepUnfinished(now: number): void;
}
