/**
 * Packets that the switch sends to the agent and the agent to the switch (ONF TS-025, sections
 * 7.4.1 and 7.3.6, and Open vSwitch's NXT_PACKET_IN2). Pure.
 */
import { writeActions, type Action } from './actions.ts';
import { written } from './bytes.ts';
import { fieldHeader, writeMatch } from './fields.ts';
import { MESSAGE, NX_VENDOR, writeMessage, writeNxMessage, type Message } from './header.ts';
import { parts } from './parts.ts';

export interface PacketIn {
  /** The port that the packet came in by. */
  readonly inPort: number;
  /** OFPR_…, see {@link REASON}. */
  readonly reason: number;
  /** Table and cookie of the flow that sent it. */
  readonly table: number;
  readonly cookie: bigint;
  /** The whole frame. */
  readonly data: Buffer;
  /** What the flow's `controller` action says. */
  readonly userdata?: Buffer;
}

/** OFPR_… */
export const REASON = { noMatch: 0, action: 1, invalidTtl: 2, actionSet: 3, group: 4, packetOut: 5 } as const;

export interface PacketOut {
  /** The port that the packet seems to come in by: a port's number, or `PORT.controller`. */
  readonly inPort: number;
  readonly actions: readonly Action[];
  /** The whole frame. */
  readonly data: Buffer;
}

/** NXT_… */
const NXT = { setPacketInFormat: 16, packetIn2: 30 } as const;
/** NXPINT_… */
const PROPERTY = { packet: 0, table: 3, cookie: 4, reason: 5, metadata: 6, userdata: 7 } as const;
const NO_BUFFER = 0xffffffff;

/** Asks for whole packets. A connection that the switch did not open gets none until then. */
export const setConfig = (xid: number): Buffer =>
  written((to) =>
    writeMessage(to, MESSAGE.setConfig, xid, () => {
      const WHOLE_PACKETS = 0xffff;
      to.u16(0);
      to.u16(WHOLE_PACKETS);
    }),
  );

/** Asks for packets in the notation that has `userdata`. */
export const setPacketInFormat = (xid: number): Buffer =>
  written((to) =>
    writeNxMessage(to, NXT.setPacketInFormat, xid, () => {
      const PACKET_IN2 = 2;
      to.u32(PACKET_IN2);
    }),
  );

/** Equivalent to: ovs-ofctl packet-out BRIDGE "in_port=… packet=… actions=…" */
export const encodePacketOut = ({ inPort, actions, data }: PacketOut, xid: number): Buffer =>
  written((to) =>
    writeMessage(to, MESSAGE.packetOut, xid, () => {
      to.u32(NO_BUFFER);
      const lengthAt = to.length;
      to.u16(0);
      to.zeros(2);
      writeMatch(to, [{ field: 'in_port', value: BigInt(inPort) }]);
      const start = to.length;
      writeActions(to, actions);
      to.setU16(lengthAt, to.length - start);
      to.bytes(data);
    }),
  );

/** Returns the packet, or undefined for another message. */
export function packetInOf({ type, body }: Message): PacketIn | undefined {
  if (type !== MESSAGE.experimenter || body.length < 8) return undefined;
  if (body.readUInt32BE(0) !== NX_VENDOR || body.readUInt32BE(4) !== NXT.packetIn2) return undefined;
  const properties = new Map(
    parts(body.subarray(8), 2).map((part) => [part.readUInt16BE(0), part.subarray(4)]),
  );
  const userdata = properties.get(PROPERTY.userdata);
  return {
    inPort: inPortOf(properties.get(PROPERTY.metadata) ?? Buffer.alloc(0)),
    reason: properties.get(PROPERTY.reason)?.readUInt8(0) ?? REASON.noMatch,
    table: properties.get(PROPERTY.table)?.readUInt8(0) ?? 0,
    // After 4 bytes that align it.
    cookie: properties.get(PROPERTY.cookie)?.readBigUInt64BE(4) ?? 0n,
    data: properties.get(PROPERTY.packet) ?? Buffer.alloc(0),
    ...(userdata && { userdata }),
  };
}

/** @param fields one after the other, each of a header, whose last byte is a length, and a value */
function inPortOf(fields: Buffer): number {
  const IN_PORT = fieldHeader('in_port');
  for (let at = 0; at + 4 <= fields.length; at += 4 + fields.readUInt8(at + 3))
    if (fields.readUInt32BE(at) === IN_PORT) return fields.readUInt32BE(at + 4);
  return 0;
}
