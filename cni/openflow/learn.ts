/** The action `learn` (ovs-actions(7), NXAST_LEARN): a packet makes a flow for others. Pure. */
import type { Writer } from './bytes.ts';
import { bitsOf, writeFieldHeader, type FieldName, type FieldValue } from './fields.ts';

/** Puts a flow into a table, which replaces one with the same match. */
export interface Learn {
  readonly kind: 'learn';
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  /** The flow goes when no packet has used it for so long. 0: never. */
  readonly idleSeconds: number;
  /** The flow goes so long after the last packet that made it. 0: never. */
  readonly hardSeconds: number;
  /**
   * What the flow matches: of a field that is only named, the value that the packet has. A field
   * comes after those that it depends on. A mask has its bits side by side.
   */
  readonly match: readonly (FieldName | FieldValue)[];
  /** What the flow sets. */
  readonly load: readonly FieldValue[];
}

/** NX_LEARN_… of include/openflow/nicira-ext.h. */
const FROM_VALUE = 1 << 13;
const MATCH = 0;
const LOAD = 1 << 11;

/**
 * Writes what comes after the action's header, without its padding.
 * @throws RangeError for a value that its place has no room for, or a mask with a gap
 */
export function writeLearn(to: Writer, learn: Learn): void {
  to.u16(learn.idleSeconds);
  to.u16(learn.hardSeconds);
  to.u16(learn.priority);
  to.u64(learn.cookie);
  to.u16(0);
  to.u8(learn.table);
  to.zeros(1 + 2 + 2);
  for (const each of learn.match) writeSpecification(to, each, MATCH);
  for (const each of learn.load) writeSpecification(to, each, LOAD);
}

/** `flow_mod_spec`: how many bits, from where, to where. */
function writeSpecification(to: Writer, each: FieldName | FieldValue, purpose: number): void {
  if (typeof each === 'string') {
    to.u16(purpose | bitsOf(each));
    writePlace(to, each, 0);
    writePlace(to, each, 0);
    return;
  }
  const { firstBit, bits } = rangeOf(each);
  to.u16(FROM_VALUE | purpose | bits);
  to.value(each.value >> BigInt(firstBit), 2 * Math.ceil(bits / 16));
  writePlace(to, each.field, firstBit);
}

function writePlace(to: Writer, field: FieldName, firstBit: number): void {
  writeFieldHeader(to, field);
  to.u16(firstBit);
}

/** Returns which bits of the field are meant. */
function rangeOf({ field, value, mask }: FieldValue): { firstBit: number; bits: number } {
  if (mask === undefined) return { firstBit: 0, bits: bitsOf(field) };
  const ones = /^(1+)(0*)$/.exec(mask.toString(2));
  if (!ones?.[1] || ones[2] === undefined || (value & ~mask) !== 0n)
    throw new RangeError(`mask ${mask} of ${field}: expected bits side by side, and no other in the value`);
  return { firstBit: ones[2].length, bits: ones[1].length };
}
