/** What every message of OpenFlow 1.5 begins with (ONF TS-025, section 7.1.1). Pure. */
import type { Writer } from './bytes.ts';

/** The version's number on the wire. */
export const OPENFLOW_15 = 6;
export const HEADER_BYTES = 8;
/** A message's length has 16 bits. */
export const LONGEST_MESSAGE = 0xffff;

/** OFPT_… */
export const MESSAGE = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  experimenter: 4,
  setConfig: 9,
  packetOut: 13,
  flowMod: 14,
  groupMod: 15,
  multipartRequest: 18,
  multipartReply: 19,
  barrierRequest: 20,
  barrierReply: 21,
  meterMod: 29,
  bundleControl: 33,
  bundleAdd: 34,
} as const;

/** Vendor of Open vSwitch's own messages, NXT_… of its include/openflow/nicira-ext.h. */
export const NX_VENDOR = 0x00002320;

export interface Message {
  readonly version: number;
  readonly type: number;
  /** The same in a request and in the answers to it. */
  readonly xid: number;
  readonly body: Buffer;
}

/** @throws RangeError for a message of more than 64 kB */
export function writeMessage(to: Writer, type: number, xid: number, writeBody: () => void): void {
  to.part(2, () => {
    to.u8(OPENFLOW_15);
    to.u8(type);
    to.u16(0);
    to.u32(xid);
    writeBody();
  });
}

/** Writes one of Open vSwitch's own messages. */
export function writeNxMessage(to: Writer, subtype: number, xid: number, writeBody: () => void): void {
  writeMessage(to, MESSAGE.experimenter, xid, () => {
    to.u32(NX_VENDOR);
    to.u32(subtype);
    writeBody();
  });
}
