/**
 * What a flow or a bucket does with a packet: actions of OpenFlow 1.5 (ONF TS-025, section 7.2.8)
 * and of Open vSwitch (ovs-actions(7)). Pure.
 */
import { bytesOf, padded, u16, u32, u8, withLength, zeros } from './bytes.ts';
import { encodeField, fieldHeader, type FieldName, type FieldValue } from './fields.ts';

/** OFPAT_… */
const TYPE = { output: 0, group: 22, setField: 25, copyField: 28, meter: 29, experimenter: 0xffff } as const;
/** NXAST_… of Nicira's vendor ID, in Open vSwitch's lib/ofp-actions.c. */
const NX_VENDOR = 0x00002320;
const NX_TYPE = { resubmitTable: 14, ct: 35, nat: 36, ctClear: 43 } as const;
/** OFPP_… */
export const PORT = { inPort: 0xfffffff8, normal: 0xfffffffa, controller: 0xfffffffd } as const;
/** How much of a packet goes to a controller: all of it. */
const WHOLE_PACKET = 0xffff;
/** Resubmits with the packet's own `in_port` (OFPP_IN_PORT of OpenFlow 1.0). */
const SAME_IN_PORT = 0xfff8;
const NO_TABLE = 0xff;

/** Translation of a connection's address, and of its port when one is given. */
export interface Nat {
  readonly side: 'src' | 'dst';
  readonly family: 4 | 6;
  readonly address: bigint;
  readonly port?: number;
}

export type Action =
  | { readonly kind: 'output'; readonly port: number }
  | { readonly kind: 'group'; readonly group: number }
  | { readonly kind: 'meter'; readonly meter: number }
  | { readonly kind: 'set'; readonly to: FieldValue }
  | {
      readonly kind: 'copy';
      readonly bits: number;
      readonly from: FieldName;
      readonly fromBit: number;
      readonly to: FieldName;
      readonly toBit: number;
    }
  | { readonly kind: 'resubmit'; readonly table: number }
  /** Sends the packet through connection tracking. */
  | {
      readonly kind: 'ct';
      readonly commit: boolean;
      readonly zone: number;
      /** Where the packet goes on, with its state known. Absent: it does not. */
      readonly table?: number;
      /** `restore`: as the connection's entry says. */
      readonly nat?: Nat | 'restore';
      /** Into the entry of a committed connection. */
      readonly mark?: number;
    }
  | { readonly kind: 'ct-clear' };

/** @throws RangeError for a value that its place has no room for */
export const encodeActions = (actions: readonly Action[]): Buffer => Buffer.concat(actions.map(encodeAction));

function encodeAction(action: Action): Buffer {
  switch (action.kind) {
    case 'output':
      return standard(TYPE.output, u32(action.port), u16(WHOLE_PACKET), zeros(6));
    case 'group':
      return standard(TYPE.group, u32(action.group));
    case 'meter':
      return standard(TYPE.meter, u32(action.meter));
    case 'set':
      return standard(TYPE.setField, encodeField(action.to));
    case 'copy':
      return standard(
        TYPE.copyField,
        ...[u16(action.bits), u16(action.fromBit), u16(action.toBit), zeros(2)],
        ...[fieldHeader(action.from), fieldHeader(action.to)],
      );
    case 'resubmit':
      return nicira(NX_TYPE.resubmitTable, u16(SAME_IN_PORT), u8(action.table), zeros(3));
    case 'ct':
      return encodeCt(action);
    case 'ct-clear':
      return nicira(NX_TYPE.ctClear, zeros(6));
  }
}

/** Returns an action with its type and length, padded. */
const standard = (type: number, ...parts: readonly Buffer[]): Buffer =>
  withLength(padded(u16(type), u16(0), ...parts), 2);

const nicira = (type: number, ...parts: readonly Buffer[]): Buffer =>
  standard(TYPE.experimenter, u32(NX_VENDOR), u16(type), ...parts);

function encodeCt({ commit, zone, table, nat, mark }: Extract<Action, { kind: 'ct' }>): Buffer {
  const NX_CT_F_COMMIT = 1;
  const nested = [
    ...(nat === undefined ? [] : [encodeNat(nat)]),
    ...(mark === undefined
      ? []
      : [encodeAction({ kind: 'set', to: { field: 'ct_mark', value: BigInt(mark) } })]),
  ];
  return nicira(
    NX_TYPE.ct,
    ...[u16(commit ? NX_CT_F_COMMIT : 0), u32(0), u16(zone), u8(table ?? NO_TABLE), zeros(3), u16(0)],
    ...nested,
  );
}

/** `struct nx_action_nat`: NX_NAT_F_… and NX_NAT_RANGE_…. */
function encodeNat(nat: Nat | 'restore'): Buffer {
  if (nat === 'restore') return nicira(NX_TYPE.nat, zeros(2), u16(0), u16(0));
  const { side, family, address, port } = nat;
  const present = (family === 4 ? 0x01 : 0x04) | (port === undefined ? 0 : 0x10);
  return nicira(
    NX_TYPE.nat,
    ...[zeros(2), u16(side === 'src' ? 1 : 2), u16(present), bytesOf(address, family === 4 ? 4 : 16)],
    ...(port === undefined ? [] : [u16(port)]),
  );
}
