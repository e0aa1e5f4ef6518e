/**
 * Messages of OpenFlow 1.5 (ONF TS-025) that change a bridge's flows, groups and meters, one by one
 * or as a bundle. Pure: opens no socket.
 */
import { encodeActions, type Action } from './actions.ts';
import { padded, u16, u32, u64, u8, withLength, zeros } from './bytes.ts';
import { encodeMatch, type FieldValue } from './fields.ts';

/** The version's number on the wire. */
export const OPENFLOW_15 = 6;
/** OFPT_… of section 7.1.1. */
export const MESSAGE = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  flowMod: 14,
  groupMod: 15,
  barrierRequest: 20,
  barrierReply: 21,
  meterMod: 29,
  bundleControl: 33,
  bundleAdd: 34,
} as const;
const NO_BUFFER = 0xffffffff;
const ANY = 0xffffffff;
const ALL_BUCKETS = 0xffffffff;
/** OFPBF_ATOMIC and OFPBF_ORDERED: all of a bundle or nothing, in its order. */
const ATOMIC_AND_ORDERED = 3;
/** OFPBCT_… of section 7.3.9. */
const BUNDLE = { open: 0, opened: 1, commit: 4, committed: 5 } as const;

/** A flow. Two flows with the same table, priority and match are one: the later replaces it. */
export interface Flow {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: readonly FieldValue[];
  /** Empty: drops the packet. */
  readonly actions: readonly Action[];
}

export interface Bucket {
  /** Unique in its group. */
  readonly id: number;
  /** The share of connections that it gets, of the sum of all. */
  readonly weight: number;
  readonly actions: readonly Action[];
}

/** A group that sends each connection to one of its buckets. */
export interface SelectGroup {
  readonly id: number;
  readonly buckets: readonly Bucket[];
}

/** Drops what exceeds the rate. */
export interface Meter {
  readonly id: number;
  /** In kilobits (1,000 bits) a second. */
  readonly rateKbps: number;
  /** In kilobits. */
  readonly burstKbit: number;
}

/** One change. Flows of other cookies are left alone by `delete-flows`. */
export type Modification =
  | { readonly kind: 'put-flow'; readonly flow: Flow }
  | { readonly kind: 'delete-flow'; readonly flow: Pick<Flow, 'table' | 'priority' | 'match' | 'cookie'> }
  /** All flows whose cookie has these bits. */
  | { readonly kind: 'delete-flows'; readonly cookie: bigint; readonly mask: bigint }
  /** Adds or changes the group (OFPGC_ADD_OR_MOD, which Open vSwitch alone has). */
  | { readonly kind: 'put-group'; readonly group: SelectGroup }
  | { readonly kind: 'delete-group'; readonly id: number }
  | { readonly kind: 'add-meter' | 'change-meter'; readonly meter: Meter }
  | { readonly kind: 'delete-meter'; readonly id: number };

/** @param xid returned in the answer to the message */
export function message(type: number, xid: number, ...body: readonly Buffer[]): Buffer {
  return withLength(Buffer.concat([u8(OPENFLOW_15), u8(type), u16(0), u32(xid), ...body]), 2);
}

/** Offers version 1.5 only (section 7.5.1). */
export const helloOf15 = (xid: number): Buffer =>
  message(MESSAGE.hello, xid, u16(1), u16(8), u32(1 << OPENFLOW_15));

/** @throws RangeError for a value that its place has no room for */
export function encodeModification(change: Modification, xid: number): Buffer {
  switch (change.kind) {
    case 'put-flow':
      return flowMod(xid, { ...change.flow, command: 0 });
    case 'delete-flow':
      return flowMod(xid, { ...change.flow, cookieMask: 0xffffffffffffffffn, command: 4, actions: [] });
    case 'delete-flows': {
      const { cookie, mask } = change;
      const all = { table: 0xff, priority: 0, match: [], actions: [] };
      return flowMod(xid, { ...all, cookie, cookieMask: mask, command: 3 });
    }
    case 'put-group':
      return groupMod(xid, 0x8000, change.group.id, change.group.buckets);
    case 'delete-group':
      return groupMod(xid, 2, change.id, []);
    case 'add-meter':
      return meterMod(xid, 0, change.meter.id, change.meter);
    case 'change-meter':
      return meterMod(xid, 1, change.meter.id, change.meter);
    case 'delete-meter':
      return meterMod(xid, 2, change.id);
  }
}

/** @param command OFPFC_… of section 7.3.4.2 */
function flowMod(
  xid: number,
  flow: Flow & { readonly command: number; readonly cookieMask?: bigint },
): Buffer {
  const { cookie, cookieMask = 0n, table, command, priority, match, actions } = flow;
  const APPLY_ACTIONS = 4;
  const apply =
    actions.length === 0
      ? []
      : [withLength(padded(u16(APPLY_ACTIONS), u16(0), zeros(4), encodeActions(actions)), 2)];
  return message(
    MESSAGE.flowMod,
    xid,
    ...[u64(cookie), u64(cookieMask), u8(table), u8(command), zeros(4), u16(priority)],
    ...[u32(NO_BUFFER), u32(ANY), u32(ANY), zeros(4), encodeMatch(match), ...apply],
  );
}

/** @param command OFPGC_… of section 7.3.4.3 */
function groupMod(xid: number, command: number, id: number, buckets: readonly Bucket[]): Buffer {
  const SELECT = 1;
  const encoded = Buffer.concat(buckets.map(encodeBucket));
  return message(
    MESSAGE.groupMod,
    xid,
    ...[u16(command), u8(SELECT), zeros(1), u32(id), u16(encoded.length), zeros(2), u32(ALL_BUCKETS)],
    encoded,
  );
}

function encodeBucket({ id, weight, actions }: Bucket): Buffer {
  const WEIGHT = 0;
  const encoded = encodeActions(actions);
  return withLength(
    padded(u16(0), u16(encoded.length), u32(id), encoded, u16(WEIGHT), u16(8), u16(weight), zeros(2)),
    0,
  );
}

/** @param command OFPMC_… of section 7.3.4.4 */
function meterMod(xid: number, command: number, id: number, meter?: Meter): Buffer {
  const KBPS_AND_BURST = 0x01 | 0x04;
  const DROP = 1;
  const band = meter ? [u16(DROP), u16(16), u32(meter.rateKbps), u32(meter.burstKbit), zeros(4)] : [];
  return message(MESSAGE.meterMod, xid, u16(command), u16(KBPS_AND_BURST), u32(id), ...band);
}

/**
 * Returns the messages of a bundle: Open vSwitch carries out all of its changes at once, or none of
 * them. Meters cannot be in a bundle.
 * @param firstXid of the messages, which count up from it
 */
export function encodeBundle(id: number, changes: readonly Modification[], firstXid: number): Buffer[] {
  const control = (type: number, xid: number): Buffer =>
    message(MESSAGE.bundleControl, xid, u32(id), u16(type), u16(ATOMIC_AND_ORDERED));
  const add = (change: Modification, xid: number): Buffer =>
    message(
      MESSAGE.bundleAdd,
      xid,
      ...[u32(id), zeros(2), u16(ATOMIC_AND_ORDERED)],
      encodeModification(change, xid),
    );
  return [
    control(BUNDLE.open, firstXid),
    ...changes.map((change, i) => add(change, firstXid + 1 + i)),
    control(BUNDLE.commit, firstXid + 1 + changes.length),
  ];
}
