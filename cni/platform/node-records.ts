import * as v from 'valibot';
import type { Attachment } from '../../ipam/model/attachment.ts';
import { etcdSchema, ovsdbTlsSchema } from '../../ipam/settings/settings.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

const text = v.pipe(v.string(), v.nonEmpty());

const commonRecord = v.looseObject({
  v: v.literal(1),
  network: v.string(),
  containerId: text,
  ifname: text,
  /** Type of the IPAM plugin that gave the addresses. */
  ipamType: v.optional(text),
  etcd: etcdSchema,
  node: text,
  bridge: text,
  ovsdb: text,
  ovsdbTls: v.optional(ovsdbTlsSchema),
  /** Of the link, bytes; absent where another main plugin made it. */
  mtu: v.optional(v.number()),
  /** Milliseconds since 1970. */
  createdAt: v.number(),
});

export const attachmentRecord = v.looseObject({
  ...commonRecord.entries,
  /** Of the boot in which it was made. */
  bootId: v.optional(text),
  /** The pod's namespace: its path, and what tells it from any other that takes the path (`Namespaces.identify`). */
  netns: v.optional(v.looseObject({ path: text, id: text })),
});

export const pendingRecord = v.looseObject({
  ...commonRecord.entries,
  /** The teardown concerns what was given at or before this time, in milliseconds since 1970. */
  until: v.number(),
  /** False where another main plugin made the interface, so that only the address is ours. */
  wire: v.boolean(),
});

/** What a teardown needs to know of an attachment. */
export type CommonRecord = v.InferOutput<typeof commonRecord>;

/** What an ADD used, so that a DEL with a cut-down configuration still finds it. No secret is in it. */
export type AttachmentRecord = v.InferOutput<typeof attachmentRecord>;

/** A teardown that could not be finished, because etcd or OVSDB was away: it is carried out later. */
export type PendingTeardown = v.InferOutput<typeof pendingRecord>;

/** Whether our IPAM gave the addresses. */
export const isOurIpam = ({ ipamType }: Pick<CommonRecord, 'ipamType'>): boolean =>
  ipamType === undefined || ipamType === OUR_IPAM;

/** Whether we made link and port, and not another main plugin, whose IPAM we were. */
export const isOurWire = ({ mtu }: Pick<CommonRecord, 'mtu'>): boolean => mtu !== undefined;

/** Where the attachment's port is. */
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
  /** Durable when it returns. @throws CniError 5 */
  savePending(record: PendingTeardown): void;
  readPending(attachment: Attachment): PendingTeardown | undefined;
  /** What is still to be torn down, oldest first. @throws CniError 5 */
  listPending(): PendingTeardown[];
  /** How many teardowns are still to be finished, readable or not. @throws CniError 5 */
  countPending(): number;
  removePending(attachment: Attachment): void;
  /** Removes what writes that were killed have left beside the records. @param now milliseconds since 1970 */
  sweepUnfinished(now: number): void;
}
