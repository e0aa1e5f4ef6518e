/** Groups as messages of OpenFlow 1.5 (ONF TS-025, section 7.3.4.3). Pure. */
import { writeActions, type Action } from './actions.ts';
import { Writer } from './bytes.ts';
import { lengthOf, writeField, type FieldName } from './fields.ts';
import { HEADER_BYTES, LONGEST_MESSAGE, MESSAGE, writeMessage } from './header.ts';
import type { Bucket, Modification, SelectGroup, Selection } from './program.ts';

/** OFPGC_…; `addOrModify` is Open vSwitch's own. */
export const GROUP_COMMAND = { delete: 2, insertBucket: 3, addOrModify: 0x8000 } as const;
/** Of more, Open vSwitch could not write the statistics, which have 16 bytes for each bucket. */
export const MOST_BUCKETS = 4_000;
/** OFPG_BUCKET_… */
const BUCKET = { last: 0xfffffffe, all: 0xffffffff } as const;
const SELECT = 1;
/** `struct ofp_group_mod` without its buckets. */
const EMPTY_BYTES = HEADER_BYTES + 16;
/** The longest action of a bucket: `ct` with an IPv6 address and a mark. */
const LONGEST_ACTION = 80;
/** What a bundle adds to a message. */
const BUNDLE_BYTES = HEADER_BYTES + 8;
/** `struct ntr_group_prop_selection_method` of include/openflow/netronome-ext.h. */
const NTR = { vendor: 0x0000154d, selectionMethod: 1, methodBytes: 16, bytes: 40 } as const;

export function writeGroupMod(
  to: Writer,
  xid: number,
  command: number,
  { id, buckets, selection }: SelectGroup,
): void {
  writeMessage(to, MESSAGE.groupMod, xid, () => {
    to.u16(command);
    to.u8(SELECT);
    to.zeros(1);
    to.u32(id);
    const lengthAt = to.length;
    to.u16(0);
    to.zeros(2);
    to.u32(command === GROUP_COMMAND.insertBucket ? BUCKET.last : BUCKET.all);
    const start = to.length;
    for (const bucket of buckets) writeBucket(to, bucket);
    to.setU16(lengthAt, to.length - start);
    if (selection) writeSelection(to, selection.method, fieldsOf(selection));
  });
}

/**
 * Open vSwitch carries out a bucket's actions as an action set (ovs-actions(7), `write_actions`).
 * It ignores others than these, and all but one that say where the packet goes on, without a word.
 */
const BEFORE: readonly Action['kind'][] = ['set', 'copy'];
const AT_LAST: readonly Action['kind'][] = ['output', 'group', 'resubmit', 'ct', 'ct-clear'];

/** @throws RangeError for actions that the switch would ignore */
function writeBucket(to: Writer, { id, weight, actions }: Bucket): void {
  const WEIGHT = 0;
  const last = actions.filter(({ kind }) => !BEFORE.includes(kind));
  if (last.length > 1 || last.some(({ kind }) => !AT_LAST.includes(kind)))
    throw new RangeError(
      `actions ${actions.map(({ kind }) => kind).join(', ')} of a bucket: expected ${BEFORE.join(', ')} and one of ${AT_LAST.join(', ')}`,
    );
  to.part(0, () => {
    to.u16(0);
    const lengthAt = to.length;
    to.u16(0);
    to.u32(id);
    const start = to.length;
    writeActions(to, actions);
    to.setU16(lengthAt, to.length - start);
    to.u16(WEIGHT);
    to.u16(8);
    to.u16(weight);
    to.zeros(2);
  });
}

function writeSelection(to: Writer, method: string, fields: readonly FieldName[]): void {
  const EXPERIMENTER = 0xffff;
  to.padded(() =>
    to.part(2, () => {
      to.u16(EXPERIMENTER);
      to.u16(0);
      to.u32(NTR.vendor);
      to.u32(NTR.selectionMethod);
      to.zeros(4);
      to.bytes(Buffer.from(method));
      to.zeros(NTR.methodBytes - method.length);
      // A parameter, which `hash` takes as its seed, and `dp_hash` as the kind of hash.
      to.u64(0n);
      for (const field of fields) writeField(to, { field, value: wholeOf(field) });
    }),
  );
}

const fieldsOf = (selection: Selection): readonly FieldName[] =>
  selection.method === 'hash' ? selection.fields : [];

const wholeOf = (field: FieldName): bigint => (1n << BigInt(8 * lengthOf(field))) - 1n;

/**
 * Returns the changes that put a group: one, unless its buckets need more than one message. They
 * belong into one bundle, or connections get to see a group of the first buckets only.
 * @throws RangeError for more than {@link MOST_BUCKETS}
 */
export function groupModifications(group: SelectGroup): Modification[] {
  const { id, buckets, selection } = group;
  if (buckets.length > MOST_BUCKETS)
    throw new RangeError(`${buckets.length} buckets of group ${id}: expected at most ${MOST_BUCKETS}`);
  const [first = [], ...rest] = split(buckets, selection ? fieldsOf(selection) : []);
  return [
    { kind: 'put-group', group: { ...group, buckets: first } },
    ...rest.map((more): Modification => ({ kind: 'add-buckets', id, buckets: more })),
  ];
}

/** Returns the buckets in parts of which each has room in a message. */
function split(buckets: readonly Bucket[], fields: readonly FieldName[]): Bucket[][] {
  const selectionBytes = NTR.bytes + fields.reduce((sum, field) => sum + 4 + lengthOf(field), 0) + 7;
  const room = LONGEST_MESSAGE - BUNDLE_BYTES - EMPTY_BYTES - selectionBytes;
  const most = buckets.reduce((sum, { actions }) => sum + 16 + LONGEST_ACTION * actions.length, 0);
  if (most <= room) return [[...buckets]];
  const parts: Bucket[][] = [];
  const measure = new Writer();
  let used = Infinity;
  for (const bucket of buckets) {
    const start = measure.length;
    writeBucket(measure, bucket);
    const size = measure.length - start;
    if (used + size > room) {
      parts.push([]);
      used = 0;
    }
    used += size;
    parts.at(-1)?.push(bucket);
  }
  return parts;
}
