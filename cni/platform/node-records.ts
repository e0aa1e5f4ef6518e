import * as v from 'valibot';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { containerId, count, ifname, milliseconds } from '../../ipam/records/codec.ts';
import { etcdSchema, ovsdbTlsSchema } from '../../ipam/settings/settings.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
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

export const attachmentRecord = v.looseObject({
  ...commonRecord.entries,
  /** ID of the boot in which the attachment was made. */
  bootId: v.optional(text),
  /**
   * The pod's namespace: its path, and an ID that distinguishes it from others at that path
   * (`Namespaces.identify`).
   */
  netns: v.optional(v.looseObject({ path: text, id: text })),
});

export const pendingRecord = v.looseObject({
  ...commonRecord.entries,
  /** The teardown covers what was assigned at or before this time, in milliseconds since 1970. */
  until: milliseconds,
  /** False when another main plugin created the interface, so that only the address is ours. */
  wire: v.boolean(),
});

/** What a teardown needs to know about an attachment. */
export type CommonRecord = v.InferOutput<typeof commonRecord>;

/**
 * What an ADD used, so that a DEL with a reduced configuration still finds it. Contains no secret.
 */
export type AttachmentRecord = v.InferOutput<typeof attachmentRecord>;

/** A teardown that is deferred because etcd or OVSDB did not answer. */
export type PendingTeardown = v.InferOutput<typeof pendingRecord>;

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
  removeAttachment(attachment: Attachment): void;
  /** Makes the record durable before it returns. @throws CniError 5 */
  savePending(record: PendingTeardown): void;
  readPending(attachment: Attachment): PendingTeardown | undefined;
  /** Returns the pending teardowns, oldest first. @throws CniError 5 */
  listPending(): PendingTeardown[];
  /** Returns the number of pending teardowns, readable or not. @throws CniError 5 */
  countPending(): number;
  removePending(attachment: Attachment): void;
  /**
   * Removes unfinished files that killed writes left beside the records.
   * @param now milliseconds since 1970
   */
  sweepUnfinished(now: number): void;
}
