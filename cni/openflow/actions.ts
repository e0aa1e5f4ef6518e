/**
 * What a flow or a bucket does with a packet: actions of OpenFlow 1.5 (ONF TS-025, section 7.2.8)
 * and of Open vSwitch (ovs-actions(7)). Pure.
 */
import type { Writer } from './bytes.ts';
import { writeField, writeFieldHeader, type FieldName, type FieldValue } from './fields.ts';
import { writeLearn, type Learn } from './learn.ts';

/** OFPAT_… */
const TYPE = { output: 0, group: 22, setField: 25, copyField: 28, meter: 29, experimenter: 0xffff } as const;
/** NXAST_… of Nicira's vendor ID, in Open vSwitch's lib/ofp-actions.c. */
const NX_VENDOR = 0x00002320;
const NX_TYPE = { resubmitTable: 14, learn: 16, ct: 35, nat: 36, controller2: 37, ctClear: 43 } as const;
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
  /** Sends the whole packet to the agent, with bytes that tell it why. */
  | { readonly kind: 'controller'; readonly userdata: Buffer }
  | Learn
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
export function writeActions(to: Writer, actions: readonly Action[]): void {
  for (const action of actions) writeAction(to, action);
}

function writeAction(to: Writer, action: Action): void {
  switch (action.kind) {
    case 'output':
      standard(to, TYPE.output, () => {
        to.u32(action.port);
        to.u16(WHOLE_PACKET);
        to.zeros(6);
      });
      return;
    case 'group':
      standard(to, TYPE.group, () => to.u32(action.group));
      return;
    case 'meter':
      standard(to, TYPE.meter, () => to.u32(action.meter));
      return;
    case 'set':
      standard(to, TYPE.setField, () => writeField(to, action.to));
      return;
    case 'copy':
      standard(to, TYPE.copyField, () => {
        to.u16(action.bits);
        to.u16(action.fromBit);
        to.u16(action.toBit);
        to.zeros(2);
        writeFieldHeader(to, action.from);
        writeFieldHeader(to, action.to);
      });
      return;
    case 'resubmit':
      nicira(to, NX_TYPE.resubmitTable, () => {
        to.u16(SAME_IN_PORT);
        to.u8(action.table);
        to.zeros(3);
      });
      return;
    case 'controller':
      nicira(to, NX_TYPE.controller2, () => writeController(to, action.userdata));
      return;
    case 'learn':
      nicira(to, NX_TYPE.learn, () => writeLearn(to, action));
      return;
    case 'ct':
      nicira(to, NX_TYPE.ct, () => writeCt(to, action));
      return;
    case 'ct-clear':
      nicira(to, NX_TYPE.ctClear, () => to.zeros(6));
      return;
  }
}

/** Writes an action with its type and length, padded. */
const standard = (to: Writer, type: number, write: () => void): void =>
  to.part(2, () =>
    to.padded(() => {
      to.u16(type);
      to.u16(0);
      write();
    }),
  );

const nicira = (to: Writer, type: number, write: () => void): void =>
  standard(to, TYPE.experimenter, () => {
    to.u32(NX_VENDOR);
    to.u16(type);
    write();
  });

/** NXAST_CONTROLLER2: properties, of which only NXAC2PT_USERDATA differs from what is usual. */
function writeController(to: Writer, userdata: Buffer): void {
  const USERDATA = 3;
  to.zeros(6);
  to.part(2, () => {
    to.u16(USERDATA);
    to.u16(0);
    to.bytes(userdata);
  });
}

/** `struct nx_action_conntrack` */
function writeCt(to: Writer, { commit, zone, table, nat, mark }: Extract<Action, { kind: 'ct' }>): void {
  const NX_CT_F_COMMIT = 1;
  to.u16(commit ? NX_CT_F_COMMIT : 0);
  to.u32(0);
  to.u16(zone);
  to.u8(table ?? NO_TABLE);
  to.zeros(3);
  to.u16(0);
  if (nat !== undefined) nicira(to, NX_TYPE.nat, () => writeNat(to, nat));
  if (mark !== undefined) writeAction(to, { kind: 'set', to: { field: 'ct_mark', value: BigInt(mark) } });
}

/** `struct nx_action_nat`: NX_NAT_F_… and NX_NAT_RANGE_…. */
function writeNat(to: Writer, nat: Nat | 'restore'): void {
  to.zeros(2);
  if (nat === 'restore') {
    to.zeros(4);
    return;
  }
  const { side, family, address, port } = nat;
  to.u16(side === 'src' ? 1 : 2);
  to.u16((family === 4 ? 0x01 : 0x04) | (port === undefined ? 0 : 0x10));
  to.value(address, family === 4 ? 4 : 16);
  if (port !== undefined) to.u16(port);
}
