import * as v from 'valibot';
import { formatCidr, parseCidr } from '../model/address.ts';
import type { Owner } from '../model/attachment.ts';
import { type Block, type Slot, type UsedSlot } from '../model/block.ts';
import type { Condemnation } from '../model/condemnation.ts';
import { ruleOf } from '../model/holder.ts';
import type { Keep } from '../model/keep.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { validateBlock } from '../model/validate-block.ts';
import {
  checkKey,
  containerId,
  count,
  decode,
  guarded,
  ifname,
  isoTime,
  SCHEMA_VERSION,
  sequence,
  text,
  time,
  unknownFieldsOf,
} from './codec.ts';
import { blockKey } from './keys.ts';

const ownerRecord = v.looseObject({
  containerId,
  ifname,
  network: text,
  bootId: text,
  podNamespace: v.optional(text),
  podName: v.optional(text),
  podUid: v.optional(text),
});

const sentenceRecord = v.looseObject({ at: time, by: text, reason: text });
type SentenceRecord = v.InferInput<typeof sentenceRecord>;

const keepRecord = v.looseObject({
  rule: text,
  since: time,
  forMs: v.optional(count),
  anyPod: v.optional(v.literal(true)),
  byAnnotation: v.optional(v.literal(true)),
});

const slotRecord = v.variant('state', [
  v.looseObject({
    state: v.literal('used'),
    owner: ownerRecord,
    allocatedAt: time,
    sequence,
    node: v.optional(text),
    keep: v.optional(keepRecord),
    chosenBy: v.optional(v.array(text)),
    condemned: v.optional(sentenceRecord),
  }),
  v.looseObject({
    state: v.literal('kept'),
    pod: v.looseObject({ namespace: text, name: text, ifname }),
    keep: keepRecord,
    keptAt: time,
    sequence,
    scaledDownAt: v.optional(time),
  }),
  v.looseObject({
    state: v.literal('released'),
    releasedAt: time,
    sequence,
    conflictMac: v.optional(text),
  }),
]);

/**
 * A block with kept addresses has this version, and one that a rule holds: an older program would
 * give them to other pods. It refuses the record instead.
 */
const KEEPING_VERSION = 2;
export const NEWEST_BLOCK_VERSION = KEEPING_VERSION;

/** A slot never used is `null`, a reserved one `"reserved"`: most are, so the value stays small. */
const blockRecord = v.looseObject({
  v: v.picklist([SCHEMA_VERSION, KEEPING_VERSION]),
  range: text,
  cidr: text,
  node: text,
  claimedAt: time,
  sequence,
  slots: v.array(v.union([v.null(), v.literal('reserved'), slotRecord])),
});

/** Version of the record of this block. */
export const blockVersion = (block: Block): 1 | 2 =>
  ruleOf(block) !== undefined || block.slots.some(isOfKept) ? KEEPING_VERSION : SCHEMA_VERSION;

export function encodeBlock(block: Block): string {
  const record: Omit<v.InferInput<typeof blockRecord>, 'slots'> = {
    v: blockVersion(block),
    range: block.range,
    cidr: formatCidr(block.cidr),
    node: block.node,
    claimedAt: isoTime(block.claimedAt),
    sequence: block.sequence,
    ...block.unknownFields,
  };
  return `${JSON.stringify(record).slice(0, -1)},"slots":[${block.slots.map(slotText).join(',')}]}`;
}

const isOfKept = (slot: Slot): boolean =>
  slot.state === 'kept' || (slot.state === 'used' && (slot.keep !== undefined || slot.node !== undefined));

/** Caches the texts of slots. A change of a block replaces few of its immutable slots. */
const slotTexts = new WeakMap<Slot, string>();

function slotText(slot: Slot): string {
  if (slot.state === 'free') return 'null';
  const known = slotTexts.get(slot);
  if (known !== undefined) return known;
  const text = JSON.stringify(encodeSlot(slot));
  slotTexts.set(slot, text);
  return text;
}

type SlotRecord = v.InferInput<typeof blockRecord>['slots'][number];

function encodeSlot(slot: Slot): SlotRecord {
  switch (slot.state) {
    case 'free':
      return null;
    case 'reserved':
      return 'reserved';
    case 'used':
      return encodeUsed(slot);
    case 'released': {
      const { unknownFields, ...known } = slot;
      return { ...known, releasedAt: isoTime(slot.releasedAt), ...unknownFields };
    }
    case 'kept': {
      const { unknownFields, pod, keep, scaledDownAt, ...known } = slot;
      return {
        ...{ ...known, pod: { ...pod }, keep: encodeKeep(keep) },
        keptAt: isoTime(slot.keptAt),
        ...(scaledDownAt !== undefined && { scaledDownAt: isoTime(scaledDownAt) }),
        ...unknownFields,
      };
    }
  }
}

function encodeUsed(slot: UsedSlot): SlotRecord {
  const { unknownFields, owner, condemned, keep, chosenBy, ...known } = slot;
  const { unknownFields: ofOwner, ...names } = owner;
  return {
    ...known,
    owner: { ...names, ...ofOwner },
    allocatedAt: isoTime(slot.allocatedAt),
    ...(keep && { keep: encodeKeep(keep) }),
    ...(chosenBy && { chosenBy: [...chosenBy] }),
    ...(condemned && { condemned: encodeCondemned(condemned) }),
    ...unknownFields,
  };
}

const encodeKeep = ({ since, unknownFields, ...terms }: Keep): v.InferInput<typeof keepRecord> => ({
  ...terms,
  since: isoTime(since),
  ...unknownFields,
});

function decodeKeep(record: v.InferOutput<typeof keepRecord>): Keep {
  const { rule, since, forMs, anyPod, byAnnotation, ...rest } = record;
  return {
    ...{ rule, since },
    ...(forMs !== undefined && { forMs }),
    ...(anyPod && { anyPod }),
    ...(byAnnotation && { byAnnotation }),
    ...unknownFieldsOf(rest),
  };
}

function encodeCondemned({ unknownFields, ...known }: Condemnation): SentenceRecord {
  return { ...known, at: isoTime(known.at), ...unknownFields };
}

function decodeCondemned({ at, by, reason, ...rest }: v.InferOutput<typeof sentenceRecord>): Condemnation {
  return { at, by, reason, ...unknownFieldsOf(rest) };
}

/** @throws IpamError `corrupt-record` */
export function decodeBlock(key: string, value: string): Block {
  const {
    v: _,
    range,
    cidr,
    node,
    claimedAt,
    sequence,
    slots,
    ...rest
  } = decode(blockRecord, key, value, KEEPING_VERSION);
  const block = guarded(key, () => ({
    range,
    cidr: parseCidr(cidr, 'cidr'),
    node,
    claimedAt,
    sequence,
    slots: slots.map(decodeSlot),
    ...unknownFieldsOf(rest),
  }));
  checkKey(key, blockKey(block.range, block.cidr));
  return block;
}

function decodeSlot(slot: v.InferOutput<typeof blockRecord>['slots'][number]): Slot {
  if (slot === null) return { state: 'free' };
  if (slot === 'reserved') return { state: 'reserved' };
  if (slot.state === 'released') {
    const { state, releasedAt, sequence, conflictMac, ...rest } = slot;
    const mac = conflictMac !== undefined && { conflictMac };
    return { state, releasedAt, sequence, ...mac, ...unknownFieldsOf(rest) };
  }
  if (slot.state === 'kept') {
    const { state, pod, keep, keptAt, sequence, scaledDownAt, ...rest } = slot;
    const { namespace, name, ifname } = pod;
    return {
      ...{ state, pod: { namespace, name, ifname }, keep: decodeKeep(keep), keptAt, sequence },
      ...(scaledDownAt !== undefined && { scaledDownAt }),
      ...unknownFieldsOf(rest),
    };
  }
  const { state, owner, allocatedAt, sequence, node, keep, chosenBy, condemned, ...rest } = slot;
  return {
    ...{ state, owner: decodeOwner(owner), allocatedAt, sequence },
    ...(node !== undefined && { node }),
    ...(keep && { keep: decodeKeep(keep) }),
    ...(chosenBy && { chosenBy }),
    ...(condemned && { condemned: decodeCondemned(condemned) }),
    ...unknownFieldsOf(rest),
  };
}

/** Omits absent optional fields: the decoder yields `undefined` (exactOptionalPropertyTypes). */
function decodeOwner(owner: v.InferOutput<typeof ownerRecord>): Owner {
  const { containerId, ifname, network, bootId, podNamespace, podName, podUid, ...rest } = owner;
  return {
    containerId,
    ifname,
    network,
    bootId,
    ...(podNamespace !== undefined && { podNamespace }),
    ...(podName !== undefined && { podName }),
    ...(podUid !== undefined && { podUid }),
    ...unknownFieldsOf(rest),
  };
}

/**
 * Refuses a block that does not fit its range before IPAM allocates or releases anything in it.
 * @throws IpamError `corrupt-record`
 */
export function checkBlock(key: string, block: Block, range: Range): void {
  const problems = validateBlock(block, range);
  if (problems.length > 0) throw new IpamError('corrupt-record', unsoundText(key, problems));
}

/** Returns what is wrong with a block that does not fit its range. */
export const unsoundText = (key: string, problems: readonly string[]): string =>
  `etcd key '${key}' is not sound: ${problems.join('; ')}`;

/** Returns a decoder of blocks of the range. @throws IpamError `corrupt-record` */
export const decodeBlockOf =
  (range: Range) =>
  (key: string, value: string): Block => {
    const block = decodeBlock(key, value);
    checkBlock(key, block, range);
    return block;
  };
